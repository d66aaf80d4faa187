//! One call as the engine sees it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bodies::Refusal;

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `models/{m}:generateContent`
    Generate,
    /// `models/{m}:streamGenerateContent`
    Stream,
    /// `models/{m}:countTokens`; has no quota here.
    CountTokens,
    /// `GET models`; has no quota here.
    ListModels,
    /// `GET models/{m}`; has no quota here.
    GetModel,
}

impl Operation {
    /// True if the call makes the model answer, and so takes quota.
    pub fn generates(self) -> bool {
        matches!(self, Self::Generate | Self::Stream)
    }

    /// The method's name in URLs and error texts.
    pub fn method(self) -> &'static str {
        match self {
            Self::Generate => "generateContent",
            Self::Stream => "streamGenerateContent",
            Self::CountTokens => "countTokens",
            Self::ListModels => "ListModels",
            Self::GetModel => "GetModel",
        }
    }
}

/// How a call shows who it is. No variant is printed with its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing, or an empty key.
    Missing,
    /// `x-goog-api-key`.
    Header(&'a str),
    /// `?key=`: works, but the secret is in every log on the way.
    Url(&'a str),
    /// `Authorization: Bearer`: refused with 401.
    Bearer,
    /// More than one of them: refused with 400.
    Several,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::Header(_) => "Header",
            Self::Url(_) => "Url",
            Self::Bearer => "Bearer",
            Self::Several => "Several",
        })
    }
}

/// One call. [`Call::generate`] makes the usual one.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Who calls.
    pub credential: Credential<'a>,
    /// The model's name without `models/`; empty for [`Operation::ListModels`].
    pub model: &'a str,
    /// What is asked for.
    pub operation: Operation,
    /// Tokens of the prompt, system instruction included.
    pub input_tokens: u64,
    /// What the user's turns say; decides which strategy is written.
    pub prompt: Cow<'a, str>,
    /// What the system instruction says; only searched for a class name.
    pub system: Cow<'a, str>,
    /// `generationConfig.maxOutputTokens`; thinking counts too.
    pub max_output_tokens: Option<u64>,
    /// The schema of a JSON answer (`generationConfig.responseSchema`); None asks for text.
    pub schema: Option<Value>,
    /// The refusal of a request that does not fit the schema; given once key and model have passed.
    pub invalid: Option<Refusal>,
}

impl<'a> Call<'a> {
    /// A `generateContent` call; its tokens are counted from the prompt.
    pub fn generate(secret: &'a str, model: &'a str, prompt: &'a str) -> Self {
        Self {
            credential: Credential::Header(secret),
            model,
            operation: Operation::Generate,
            input_tokens: tokens(prompt.chars().count()),
            prompt: Cow::Borrowed(prompt),
            system: Cow::Borrowed(""),
            max_output_tokens: None,
            schema: None,
            invalid: None,
        }
    }

    /// The same call with this many input tokens, whatever its prompt.
    #[must_use]
    pub fn input_tokens(mut self, tokens: u64) -> Self {
        self.input_tokens = tokens;
        self
    }

    /// The same call with another operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self
    }
}

/// Tokens of that many characters: four make one, a rest counts as one (Google's rule of thumb).
pub fn tokens(characters: usize) -> u64 {
    characters.div_ceil(4) as u64
}
