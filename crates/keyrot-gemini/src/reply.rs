//! What `generateContent` answers: text, why it ended, and what it used. Every field may be missing.

use keyrot_core::Usage;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Why an answer ended. All of them are successes for the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The model was done.
    Stop,
    /// `maxOutputTokens` (thinking included) was reached: the text is cut, and may be empty.
    MaxTokens,
    /// A filter stopped the prompt or the answer.
    Blocked {
        /// Gemini's word for it: `SAFETY`, `RECITATION`, `PROHIBITED_CONTENT`, `BLOCKLIST`, `SPII` ...
        reason: String,
    },
    /// Anything else, in Gemini's word: `OTHER`, `LANGUAGE`, `MALFORMED_FUNCTION_CALL`, or one that is new.
    Other(String),
}

impl Finish {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "" | "FINISH_REASON_UNSPECIFIED" => return None,
            "STOP" => Self::Stop,
            "MAX_TOKENS" => Self::MaxTokens,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR" => Self::Blocked { reason: word.to_owned() },
            _ => Self::Other(word.to_owned()),
        })
    }

    /// Gemini's word: `STOP`, `MAX_TOKENS`, `SAFETY` ...
    pub fn name(&self) -> &str {
        match self {
            Self::Stop => "STOP",
            Self::MaxTokens => "MAX_TOKENS",
            Self::Blocked { reason } => reason,
            Self::Other(word) => word,
        }
    }
}

/// Gemini's `usageMetadata`. A count that Gemini leaves out is zero or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct TokenCounts {
    /// Input, cached tokens included: what the tokens-per-minute quota counts.
    #[serde(deserialize_with = "lenient_count")]
    pub prompt_token_count: Option<u64>,
    /// The answer.
    #[serde(deserialize_with = "lenient_count")]
    pub candidates_token_count: Option<u64>,
    /// Thinking; billed as output.
    #[serde(deserialize_with = "lenient_count")]
    pub thoughts_token_count: Option<u64>,
    /// Results of tools.
    #[serde(deserialize_with = "lenient_count")]
    pub tool_use_prompt_token_count: Option<u64>,
    /// The part of the prompt that came from a cache.
    #[serde(deserialize_with = "lenient_count")]
    pub cached_content_token_count: Option<u64>,
    /// Prompt, answer, tools and thoughts.
    #[serde(deserialize_with = "lenient_count")]
    pub total_token_count: Option<u64>,
}

impl TokenCounts {
    /// What settles the reservation.
    pub fn settled(&self) -> Usage {
        self.prompt_token_count.map(Usage::input).unwrap_or_default()
    }

    /// In a stream each chunk repeats the counts; the last word on each counts.
    fn merge(&mut self, later: &Self) {
        for (count, later) in [
            (&mut self.prompt_token_count, later.prompt_token_count),
            (&mut self.candidates_token_count, later.candidates_token_count),
            (&mut self.thoughts_token_count, later.thoughts_token_count),
            (&mut self.tool_use_prompt_token_count, later.tool_use_prompt_token_count),
            (&mut self.cached_content_token_count, later.cached_content_token_count),
            (&mut self.total_token_count, later.total_token_count),
        ] {
            *count = later.or(*count);
        }
    }
}

/// A number, or a number as text as gateways write 64-bit integers; anything else is no count.
fn lenient_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    })
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerateReply {
    /// The answer without the model's thoughts; empty for a blocked prompt.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// The prompt was blocked, there was no answer at all.
    pub prompt_blocked: bool,
    /// Gemini's sentence about the end, if there is one.
    pub finish_message: Option<String>,
    /// What it used.
    pub usage: TokenCounts,
    /// The model that really answered: aliases move, and retired models are rerouted silently.
    pub model_version: Option<String>,
    /// Gemini's id of the answer.
    pub response_id: Option<String>,
}

/// A piece of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamChunk {
    /// More text; may be empty.
    pub text: String,
    /// Set on the last chunk that has text.
    pub finish: Option<Finish>,
    /// The prompt was blocked: there is no text to come.
    pub prompt_blocked: bool,
    /// Gemini's sentence about the end, if there is one.
    pub finish_message: Option<String>,
    /// Counts so far.
    pub usage: TokenCounts,
    /// The model that really answers.
    pub model_version: Option<String>,
    /// Gemini's id of the answer.
    pub response_id: Option<String>,
}

impl StreamChunk {
    /// Adds a later chunk to what came before it.
    pub fn append(&mut self, later: Self) {
        self.text.push_str(&later.text);
        self.finish = later.finish.or(self.finish.take());
        self.prompt_blocked |= later.prompt_blocked;
        self.finish_message = later.finish_message.or(self.finish_message.take());
        self.usage.merge(&later.usage);
        self.model_version = later.model_version.or(self.model_version.take());
        self.response_id = later.response_id.or(self.response_id.take());
    }

    /// The whole answer, if its end was seen: text without an end is never an answer.
    pub fn into_reply(self) -> Option<GenerateReply> {
        Some(GenerateReply {
            finish: self.finish?,
            text: self.text,
            prompt_blocked: self.prompt_blocked,
            finish_message: self.finish_message,
            usage: self.usage,
            model_version: self.model_version,
            response_id: self.response_id,
        })
    }
}

/// `GenerateContentResponse` as it is sent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct WireReply {
    candidates: Option<Vec<WireCandidate>>,
    prompt_feedback: Option<WireFeedback>,
    usage_metadata: Option<TokenCounts>,
    model_version: Option<String>,
    response_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCandidate {
    content: Option<WireContent>,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireContent {
    parts: Option<Vec<WirePart>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePart {
    text: Option<String>,
    thought: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireFeedback {
    block_reason: Option<String>,
}

impl From<WireReply> for StreamChunk {
    fn from(wire: WireReply) -> Self {
        let candidate = wire.candidates.unwrap_or_default().into_iter().next().unwrap_or_default();
        let parts = candidate.content.unwrap_or_default().parts.unwrap_or_default();
        let spoken = parts.into_iter().filter(|part| part.thought != Some(true));
        let blocked = wire.prompt_feedback.and_then(|feedback| feedback.block_reason);
        let blocked = blocked.filter(|reason| !matches!(reason.as_str(), "" | "BLOCK_REASON_UNSPECIFIED"));
        Self {
            text: spoken.filter_map(|part| part.text).collect(),
            prompt_blocked: blocked.is_some(),
            finish: match blocked {
                Some(reason) => Some(Finish::Blocked { reason }),
                None => candidate.finish_reason.as_deref().and_then(Finish::of),
            },
            finish_message: candidate.finish_message,
            usage: wire.usage_metadata.unwrap_or_default(),
            model_version: wire.model_version,
            response_id: wire.response_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chunk(value: Value) -> StreamChunk {
        serde_json::from_value::<WireReply>(value).unwrap().into()
    }

    #[test]
    fn thoughts_are_not_part_of_the_text() {
        let reply = chunk(json!({
            "candidates": [
                {"content": {"parts": [
                    {"text": "hm", "thought": true}, {"text": "a"}, {"functionCall": {}}, {"text": "b"},
                ]}, "finishReason": "STOP"},
                {"content": {"parts": [{"text": "a second candidate"}]}},
            ],
            "usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": "4", "totalTokenCount": null},
            "modelVersion": "gemini-3.8-flash", "responseId": "r",
        }));
        assert_eq!((reply.text.as_str(), &reply.finish), ("ab", &Some(Finish::Stop)));
        assert_eq!(reply.usage.settled(), Usage::input(3));
        assert_eq!((reply.usage.thoughts_token_count, reply.usage.total_token_count), (Some(4), None));
        let reply = reply.into_reply().unwrap();
        assert_eq!(
            (reply.model_version.as_deref(), reply.response_id.as_deref()),
            (Some("gemini-3.8-flash"), Some("r"))
        );
    }

    #[test]
    fn ends_are_told_apart() {
        for (reason, finish) in [
            ("STOP", Finish::Stop),
            ("MAX_TOKENS", Finish::MaxTokens),
            ("RECITATION", Finish::Blocked { reason: "RECITATION".to_owned() }),
            ("A_NEW_ONE", Finish::Other("A_NEW_ONE".to_owned())),
        ] {
            let reply = chunk(json!({"candidates": [{"finishReason": reason}]})).into_reply().unwrap();
            assert_eq!((reply.finish.name(), &reply.finish, reply.text.as_str()), (reason, &finish, ""));
            assert!(!reply.prompt_blocked);
        }
        let blocked = chunk(json!({"promptFeedback": {"blockReason": "SAFETY"}})).into_reply().unwrap();
        assert!(blocked.prompt_blocked && blocked.finish == Finish::Blocked { reason: "SAFETY".to_owned() });
    }

    #[test]
    fn a_reply_without_an_end_is_none() {
        for value in [
            json!({}),
            json!({"candidates": null, "promptFeedback": {}}),
            json!({"candidates": [{"content": {"parts": null}, "finishReason": "FINISH_REASON_UNSPECIFIED"}]}),
        ] {
            assert_eq!(chunk(value).into_reply(), None);
        }
    }

    #[test]
    fn chunks_add_up_and_the_last_counts_win() {
        let mut sum = chunk(json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}],
            "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}, "modelVersion": "m"}));
        sum.append(chunk(
            json!({"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"totalTokenCount": 5}}),
        ));
        sum.append(chunk(json!({})));
        let reply = sum.into_reply().unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), ("ab", Finish::Stop));
        assert_eq!((reply.usage.prompt_token_count, reply.usage.total_token_count), (Some(3), Some(5)));
        assert_eq!(reply.model_version.as_deref(), Some("m"));
    }
}
