//! What a generation gives, in the shape of the command's JSON output.

use std::time::Duration;

use keyrot_core::{Attempt, KeyId, ModelName, ProjectId};
use serde::{Serialize, Serializer};

use crate::verification::Report;

/// A strategy that was delivered. Unless it is `verified` it has only passed the gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Strategy {
    /// The module.
    pub code: String,
    /// Its one class that derives from `Strategy`.
    pub class_name: String,
    /// The model that was called.
    #[serde(serialize_with = "text")]
    pub model: ModelName,
    /// The model that answered, in the provider's words; `null` if it did not say.
    pub model_version: Option<String>,
    /// The key that sent the call which gave this code.
    #[serde(serialize_with = "text")]
    pub key_id: KeyId,
    /// Every try of every call, in order.
    pub attempts: Vec<AttemptReport>,
    /// Tokens of all calls together.
    pub usage: TokenUsage,
    /// The code comes from a repair.
    pub repaired: bool,
    /// It was run, and has passed every stage.
    pub verified: bool,
    /// The stages that it went through.
    pub report: Report,
    /// What the caller should know, one sentence each.
    pub warnings: Vec<String>,
}

/// One try of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttemptReport {
    /// Who sent it.
    #[serde(serialize_with = "text")]
    pub key_id: KeyId,
    /// Its project.
    #[serde(serialize_with = "text")]
    pub project: ProjectId,
    /// The model it went to.
    #[serde(serialize_with = "text")]
    pub model: ModelName,
    /// What the pool made of it: `success`, `cooldown`, `overload` ...
    pub outcome: &'static str,
    /// One line for people; free of secrets.
    pub detail: String,
    /// From sending to the verdict, in milliseconds.
    #[serde(rename = "latency_ms", serialize_with = "milliseconds")]
    pub latency: Duration,
}

impl From<&Attempt> for AttemptReport {
    fn from(attempt: &Attempt) -> Self {
        Self {
            key_id: attempt.key_id.clone(),
            project: attempt.project.clone(),
            model: attempt.model.clone(),
            outcome: attempt.outcome.effect.name(),
            detail: attempt.outcome.detail.clone().into_owned(),
            latency: attempt.latency,
        }
    }
}

impl AttemptReport {
    /// A try that gave a reply, for implementations of [`LanguageModel`](crate::LanguageModel) without a
    /// pool.
    pub fn success(key_id: KeyId, project: ProjectId, model: ModelName, latency: Duration) -> Self {
        Self { key_id, project, model, outcome: "success", detail: "success".to_owned(), latency }
    }
}

/// Tokens as the provider counted them; 0 also where it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenUsage {
    /// Of the prompt, the cached ones included.
    pub input_tokens: u64,
    /// Of the reply.
    pub output_tokens: u64,
    /// Of the model's thoughts.
    pub thought_tokens: u64,
    /// Of the prompt and served from a cache.
    pub cached_tokens: u64,
    /// Of everything.
    pub total_tokens: u64,
}

impl TokenUsage {
    /// Input and output, and their sum.
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens, ..Self::default() }
    }

    /// Counts another call.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.thought_tokens += other.thought_tokens;
        self.cached_tokens += other.cached_tokens;
        self.total_tokens += other.total_tokens;
    }
}

/// What a generation has cost, whether it succeeded or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spent {
    /// Every try of every call, in order.
    pub attempts: Vec<AttemptReport>,
    /// Tokens of all calls together.
    pub usage: TokenUsage,
}

fn text<S: Serializer>(name: &impl AsRef<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_ref())
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_the_commands_output() {
        let key_id = KeyId::parse("flash_01").unwrap();
        let model = ModelName::from("gemini-flash-latest");
        let latency = Duration::from_micros(1_234_567);
        let strategy = Strategy {
            code: "x = 1".to_owned(),
            class_name: "A".to_owned(),
            model: model.clone(),
            model_version: Some("gemini-3.8-flash".to_owned()),
            key_id: key_id.clone(),
            attempts: vec![AttemptReport::success(key_id, ProjectId::from("p"), model, latency)],
            usage: TokenUsage::new(100, 20),
            repaired: false,
            verified: false,
            report: Report::default(),
            warnings: Vec::new(),
        };
        let expected = serde_json::json!({
            "code": "x = 1",
            "class_name": "A",
            "model": "gemini-flash-latest",
            "model_version": "gemini-3.8-flash",
            "key_id": "flash_01",
            "attempts": [{
                "key_id": "flash_01",
                "project": "p",
                "model": "gemini-flash-latest",
                "outcome": "success",
                "detail": "success",
                "latency_ms": 1234
            }],
            "usage": {
                "input_tokens": 100,
                "output_tokens": 20,
                "thought_tokens": 0,
                "cached_tokens": 0,
                "total_tokens": 120
            },
            "repaired": false,
            "verified": false,
            "report": {
                "verified": false,
                "fault": null,
                "not_run": null,
                "stages": [],
                "assumptions": [],
                "parameters": [],
                "warnings": [],
                "data": null,
                "cash": null,
                "commission": null,
                "backtest": null
            },
            "warnings": []
        });
        assert_eq!(serde_json::to_value(&strategy).unwrap(), expected);
    }
}
