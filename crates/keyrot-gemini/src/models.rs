//! Replies of the small endpoints: `models.list` and `countTokens`.

use serde::{Deserialize, Serialize};

/// A model of `models.list`. That it is listed does not mean that this key may use it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelInfo {
    /// `models/gemini-2.5-flash`.
    pub name: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Most input tokens of one request.
    pub input_token_limit: Option<u64>,
    /// Most output tokens of one answer.
    pub output_token_limit: Option<u64>,
    /// `generateContent`, `countTokens` ...
    pub supported_generation_methods: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModelPage {
    pub(crate) models: Vec<ModelInfo>,
    pub(crate) next_page_token: Option<String>,
}

/// What `countTokens` answers: input only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct TokenTotal {
    /// Tokens of the input.
    pub total_tokens: u64,
    /// The part of it that comes from a cache.
    pub cached_content_token_count: Option<u64>,
}
