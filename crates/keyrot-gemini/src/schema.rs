//! Answers in JSON of a given form: which models are asked for them, and which have refused.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use keyrot_core::{Classify, ModelName};

use crate::error::GeminiError;
use crate::request::GenerateRequest;

/// The models that have refused a schema so far. Clones share what is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct SchemaSupport {
    refused: Arc<Mutex<BTreeSet<ModelName>>>,
}

impl SchemaSupport {
    /// What this model is sent: the request as it is, or a copy with its preferred schema if the model takes one.
    pub(crate) fn fit<'a>(&self, body: &'a GenerateRequest, model: &ModelName) -> Cow<'a, GenerateRequest> {
        match body.structured() {
            Some(structured) if self.takes_one(model) => Cow::Owned(structured),
            _ => Cow::Borrowed(body),
        }
    }

    /// True if what was sent failed for its preferred schema, so that the same call without it may succeed. The model is
    /// not sent one again.
    pub(crate) fn was_refused(&self, sent: &GenerateRequest, model: &ModelName, error: &GeminiError) -> bool {
        let refused = sent.is_structured() && refuses_schema(error);
        if refused {
            let new = self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(model.clone());
            if new {
                tracing::debug!(%model, "the model takes no schema");
            }
        }
        refused
    }

    fn takes_one(&self, model: &ModelName) -> bool {
        has_schemas(model) && !self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(model)
    }
}

/// Gemini's own models take one; Gemma, tuned models and whatever else a server offers may not.
fn has_schemas(model: &ModelName) -> bool {
    let name = model.as_str();
    name.strip_prefix("models/").unwrap_or(name).starts_with("gemini-")
}

/// A 400 that names what a plain call does not hold: "JSON mode is not enabled for models/...", "Unknown name
/// \"responseSchema\" at 'generation_config'", "The specified schema produces a constraint that has too many states".
fn refuses_schema(error: &GeminiError) -> bool {
    let detail = error.outcome().detail.to_ascii_lowercase();
    let words = ["schema", "mime", "json mode", "structured output", "controlled generation"];
    detail.starts_with("400 ") && words.iter().any(|word| detail.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geminis_own_models_are_asked_and_others_are_not() {
        for (model, asked) in [
            ("gemini-3.8-flash", true),
            ("models/gemini-flash-latest", true),
            ("gemma-4-27b-it", false),
            ("tunedModels/gemini-mine", false),
            ("llama-4", false),
            ("my-gemini-2", false),
        ] {
            assert_eq!(SchemaSupport::default().takes_one(&model.into()), asked, "{model}");
        }
    }

    #[test]
    fn only_a_400_about_the_form_of_the_answer_is_a_refusal_of_it() {
        let error = |status: u16, message: &str| {
            let body = serde_json::json!({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}});
            GeminiError::refused(status, None, &body.to_string(), "")
        };
        for message in [
            "JSON mode is not enabled for models/gemini-2.5-flash-image",
            "Invalid JSON payload received. Unknown name \"responseSchema\" at 'generation_config': Cannot find field.",
            "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`",
            "The specified schema produces a constraint that has too many states for serving.",
        ] {
            assert!(refuses_schema(&error(400, message)), "{message}");
            assert!(!refuses_schema(&error(500, message)), "{message}");
        }
        for message in [
            "API key not valid. Please pass a valid API key.",
            "Invalid JSON payload received. Unknown name \"systemInstruction\": Cannot find field.",
            "The input token count exceeds the maximum number of tokens allowed",
        ] {
            assert!(!refuses_schema(&error(400, message)), "{message}");
        }
    }
}
