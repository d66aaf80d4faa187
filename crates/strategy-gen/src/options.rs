//! What a caller may choose.

use std::collections::BTreeMap;
use std::time::Duration;

use keyrot_core::{KeyRequest, ModelName};
use ruff_python_parser::parse_expression;

use crate::depth::too_deep_at;
use crate::error::GenerateError;
use crate::prompt::Prompt;

/// How a strategy is generated.
///
/// ```
/// use std::time::Duration;
/// use strategy_gen::GenerateOptions;
///
/// let options = GenerateOptions::default()
///     .model("gemini-flash-latest")
///     .fallback("gemini-flash-lite-latest")
///     .class_name("RsiReversal")
///     .deadline(Duration::from_secs(60));
/// assert_eq!(options.repairs, 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// The model; `None` (the default) takes any key with the model of its entry.
    pub model: Option<ModelName>,
    /// Tried in this order when no key can serve `model` now.
    pub fallback_models: Vec<ModelName>,
    /// Tags that a key must all carry.
    pub tags: BTreeMap<String, String>,
    /// Name of the class; `None` (the default) leaves it to the model.
    pub class_name: Option<String>,
    /// Class attributes that the strategy must have: name and default, a Python expression. A reply without one
    /// of them, or with another default, is sent back.
    pub parameters: BTreeMap<String, String>,
    /// How long everything may take, repairs and waiting for a key included; default 120 s.
    pub deadline: Duration,
    /// Most tokens of one reply; default 16384. Gemini counts the model's thoughts in, and thoughts alone
    /// can use up a small number before any code is written.
    pub max_output_tokens: u32,
    /// How many times a reply that is not good enough is sent back with the exact finding; default 3.
    pub repairs: u32,
    /// Takes the place of [`SYSTEM_INSTRUCTION`](crate::SYSTEM_INSTRUCTION); `None` is the default.
    pub system_instruction: Option<String>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            model: None,
            fallback_models: Vec::new(),
            tags: BTreeMap::new(),
            class_name: None,
            parameters: BTreeMap::new(),
            deadline: Duration::from_secs(120),
            max_output_tokens: 16_384,
            repairs: 3,
            system_instruction: None,
        }
    }
}

impl GenerateOptions {
    /// Sets the model.
    #[must_use]
    pub fn model(mut self, model: impl Into<ModelName>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Adds a model to try when none can serve the ones before it.
    #[must_use]
    pub fn fallback(mut self, model: impl Into<ModelName>) -> Self {
        self.fallback_models.push(model.into());
        self
    }

    /// Demands a tag of the key.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Names the class.
    #[must_use]
    pub fn class_name(mut self, name: &str) -> Self {
        self.class_name = Some(name.to_owned());
        self
    }

    /// Adds a class attribute with its default.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets how long everything may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the most tokens of one reply.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = tokens;
        self
    }

    /// Sets how many times a reply is sent back; 0 takes the first one or none.
    #[must_use]
    pub fn repairs(mut self, repairs: u32) -> Self {
        self.repairs = repairs;
        self
    }

    /// Sets another system instruction than this crate's.
    #[must_use]
    pub fn system_instruction(mut self, text: impl Into<String>) -> Self {
        self.system_instruction = Some(text.into());
        self
    }

    /// Refuses names and values that no module could hold, before any call is made.
    pub(crate) fn validate(&self) -> Result<(), GenerateError> {
        let bad = |what: String, found: &str, allowed: &'static str| {
            Err(GenerateError::BadOption { what, found: found.to_owned(), allowed })
        };
        if let Some(name) = &self.class_name
            && (!is_identifier(name) || name == "Strategy")
        {
            let allowed = "a Python identifier such as RsiReversal, other than Strategy";
            return bad("class_name".to_owned(), name, allowed);
        }
        for (name, value) in &self.parameters {
            if !is_identifier(name) || RESERVED.contains(&name.as_str()) {
                let allowed = "a Python identifier that backtesting.py's Strategy does not use itself";
                return bad("the name of a parameter".to_owned(), name, allowed);
            }
            if value.contains('\n') || too_deep_at(value).is_some() || parse_expression(value).is_err() {
                return bad(
                    format!("parameter {name}"),
                    value,
                    "a Python expression in one line, such as 14 or 'x'",
                );
            }
        }
        if self.max_output_tokens == 0 {
            return bad(
                "max_output_tokens".to_owned(),
                "0",
                "1 or more; 8192 and up leave room for thoughts",
            );
        }
        Ok(())
    }

    /// What is asked of the pool for this prompt, with so much time left.
    pub(crate) fn key_request(&self, prompt: &Prompt, left: Duration) -> KeyRequest {
        let mut request = KeyRequest::any().tokens(prompt.estimated_tokens()).within(left);
        request.model.clone_from(&self.model);
        request.fallback_models.clone_from(&self.fallback_models);
        request.tags.clone_from(&self.tags);
        request
    }
}

/// Attributes of backtesting.py's `Strategy`.
const RESERVED: [&str; 11] =
    ["I", "buy", "closed_trades", "data", "equity", "init", "next", "orders", "position", "sell", "trades"];

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
        && !KEYWORDS.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_class_can_have_are_refused_with_what_is_allowed() {
        for bad in ["", "2nd", "a-b", "class", "Strategy", "a b", "A(B)"] {
            let error = GenerateOptions::default().class_name(bad).validate().unwrap_err().to_string();
            assert!(error.contains("class_name") && error.contains("identifier"), "{error}");
        }
        for good in ["RsiReversal", "_A1", "Größe"] {
            GenerateOptions::default().class_name(good).validate().unwrap();
        }
    }

    #[test]
    fn parameters_must_fit_into_a_class_body() {
        for (name, value) in [("data", "1"), ("n", "1\nimport os"), ("n", "1 +"), ("n", ""), ("for", "1")] {
            let error = GenerateOptions::default().parameter(name, value).validate().unwrap_err().to_string();
            assert!(error.contains("parameter") && error.contains("allowed"), "{error}");
        }
        let endless = "-".repeat(100_000);
        assert!(GenerateOptions::default().parameter("n", &endless).validate().is_err());
        GenerateOptions::default().parameter("n", "14").parameter("kind", "'ema'").validate().unwrap();
    }

    #[test]
    fn the_pool_is_asked_for_what_the_caller_chose() {
        let options = GenerateOptions::default().model("m").fallback("n").tag("region", "eu");
        let prompt = Prompt::new("x", 1);
        let request = options.key_request(&prompt, Duration::from_secs(7));
        let expected = KeyRequest::model("m")
            .fallback("n")
            .tag("region", "eu")
            .tokens(prompt.estimated_tokens())
            .within(Duration::from_secs(7));
        assert_eq!(request, expected);
    }
}
