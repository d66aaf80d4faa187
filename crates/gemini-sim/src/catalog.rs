//! The models that the simulator knows when the configuration names none.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A model as `models.list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name without `models/`, also the `modelVersion` of its replies.
    pub name: String,
    /// Version that `models.list` shows; default `001`.
    #[serde(default = "first_version")]
    pub version: String,
    /// Largest prompt in tokens; more is refused with 400. Default 1 048 576.
    #[serde(default = "input_limit")]
    pub input_token_limit: u64,
    /// Largest reply in tokens, thinking included. Default 65 536.
    #[serde(default = "output_limit")]
    pub output_token_limit: u64,
    /// Tokens that it thinks before it answers; they count against `maxOutputTokens`. Default 0.
    #[serde(default)]
    pub thinking_tokens: u64,
}

impl Model {
    /// A model with the defaults of every other field.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: first_version(),
            input_token_limit: input_limit(),
            output_token_limit: output_limit(),
            thinking_tokens: 0,
        }
    }
}

fn first_version() -> String {
    "001".to_owned()
}

fn input_limit() -> u64 {
    1_048_576
}

fn output_limit() -> u64 {
    65_536
}

/// The models of November 2026. Retired ones (`gemini-2.0-flash` and older) are missing: they answer 404.
pub fn models() -> Vec<Model> {
    [
        "gemini-2.5-flash",
        "gemini-2.5-flash-lite",
        "gemini-2.5-pro",
        "gemini-3.1-flash-lite",
        "gemini-3.1-pro-preview",
        "gemini-3.5-flash-lite",
        "gemini-3.6-flash",
        "gemini-3.8-flash",
        "gemini-4-argon",
    ]
    .map(Model::new)
    .into()
}

/// Moving names, and models whose calls are silently answered by their successor.
pub fn aliases() -> BTreeMap<String, String> {
    [
        ("gemini-flash-latest", "gemini-3.8-flash"),
        ("gemini-flash-lite-latest", "gemini-3.5-flash-lite"),
        ("gemini-pro-latest", "gemini-3.1-pro-preview"),
        ("gemini-3.5-flash", "gemini-3.6-flash"),
        ("gemini-3.7-flash", "gemini-3.8-flash"),
    ]
    .map(|(alias, target)| (alias.to_owned(), target.to_owned()))
    .into()
}
