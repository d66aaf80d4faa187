//! Replies of a model, in the proto3 JSON of generateContent: camelCase, empty members left out.

use std::sync::Arc;

use serde::Serialize;

use crate::call::tokens;

/// What the model says, before it is put on a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// All text; empty for blocked prompts.
    pub text: String,
    /// `STOP`, `MAX_TOKENS`, `SAFETY`; None if the prompt was blocked.
    pub finish_reason: Option<&'static str>,
    /// `promptFeedback.blockReason`.
    pub block_reason: Option<&'static str>,
    /// Tokens, as reported and charged.
    pub usage: Usage,
    /// The model that answered.
    pub model_version: Arc<str>,
    /// Unique id of the reply.
    pub response_id: String,
    /// How a reply breaks off half-way, if it does.
    pub broken: Option<Break>,
}

/// How a reply breaks off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Break {
    /// The connection is cut.
    Cut,
    /// An event `data: {"error": ...}` with this JSON, then a clean end.
    ErrorEvent(String),
    /// This pretty-printed JSON, not framed as an event, then a clean end.
    ErrorTail(String),
}

/// Token counts of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Input, as charged.
    pub prompt_token_count: u64,
    /// Output without thinking.
    #[serde(skip_serializing_if = "is_zero")]
    pub candidates_token_count: u64,
    /// Thinking.
    #[serde(skip_serializing_if = "is_zero")]
    pub thoughts_token_count: u64,
    /// All of them.
    pub total_token_count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    pub(crate) fn new(prompt: u64, candidates: u64, thoughts: u64) -> Self {
        Self {
            prompt_token_count: prompt,
            candidates_token_count: candidates,
            thoughts_token_count: thoughts,
            total_token_count: prompt + candidates + thoughts,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<[Candidate<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Usage,
    model_version: &'a str,
    response_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
    index: u32,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<[Part<'a>; 1]>,
    role: &'static str,
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: &'static str,
    safety_ratings: [SafetyRating; 1],
}

#[derive(Serialize)]
struct SafetyRating {
    category: &'static str,
    probability: &'static str,
}

impl Answer {
    /// The body of a `generateContent` reply.
    pub fn to_json(&self) -> String {
        let response = self.response(&self.text, self.finish_reason, self.usage);
        serde_json::to_string_pretty(&response).unwrap_or_default() // strings and numbers always serialize
    }

    /// The bodies of a stream's events: usage in each, the finish reason only in the last. A reply that breaks off
    /// ends half-way and without one.
    pub fn to_chunks(&self) -> Vec<String> {
        let pieces = pieces(&self.text, 160);
        let sent = if self.broken.is_some() { pieces.len().div_ceil(2) } else { pieces.len() };
        let mut said = 0;
        let chunks = pieces[..sent].iter().enumerate().map(|(index, piece)| {
            said += piece.chars().count();
            let last = index + 1 == pieces.len() && self.broken.is_none();
            let usage = if last {
                self.usage
            } else {
                Usage::new(self.usage.prompt_token_count, tokens(said), self.usage.thoughts_token_count)
            };
            let response = self.response(piece, self.finish_reason.filter(|_| last), usage);
            serde_json::to_string(&response).unwrap_or_default() // as above
        });
        chunks.collect()
    }

    fn response<'a>(
        &'a self,
        text: &'a str,
        finish_reason: Option<&'static str>,
        usage: Usage,
    ) -> Response<'a> {
        let candidate = Candidate {
            content: Content { parts: (!text.is_empty()).then_some([Part { text }]), role: "model" },
            finish_reason,
            index: 0,
        };
        let safety = SafetyRating { category: "HARM_CATEGORY_DANGEROUS_CONTENT", probability: "HIGH" };
        Response {
            candidates: self.block_reason.is_none().then_some([candidate]),
            prompt_feedback: self
                .block_reason
                .map(|block_reason| PromptFeedback { block_reason, safety_ratings: [safety] }),
            usage_metadata: usage,
            model_version: &self.model_version,
            response_id: &self.response_id,
        }
    }
}

/// The text in pieces of so many characters; at least one piece, even of nothing.
fn pieces(text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(size) {
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn answer(text: &str) -> Answer {
        Answer {
            text: text.to_owned(),
            finish_reason: Some("STOP"),
            block_reason: None,
            usage: Usage::new(7, tokens(text.chars().count()), 0),
            model_version: "gemini-3.8-flash".into(),
            response_id: "id".to_owned(),
            broken: None,
        }
    }

    fn parsed(chunks: &[String]) -> Vec<Value> {
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
    }

    #[test]
    fn chunks_join_to_the_text_and_only_the_last_has_a_finish_reason() {
        let text = "é€🦀x".repeat(200);
        let chunks = parsed(&answer(&text).to_chunks());
        let said: Vec<&str> = chunks
            .iter()
            .map(|chunk| chunk["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(said.concat(), text);
        let (last, before) = chunks.split_last().unwrap();
        assert_eq!(before.len(), 4);
        assert!(before.iter().all(|chunk| chunk["candidates"][0].get("finishReason").is_none()));
        assert_eq!(last["candidates"][0]["finishReason"], "STOP");
        assert_eq!(last["usageMetadata"]["totalTokenCount"], 207);
        assert!(before.iter().all(|chunk| chunk["usageMetadata"]["promptTokenCount"] == 7));
    }

    #[test]
    fn a_broken_stream_ends_half_way_without_a_finish_reason() {
        let mut broken = answer(&"x".repeat(640));
        broken.broken = Some(Break::Cut);
        let chunks = parsed(&broken.to_chunks());
        assert_eq!(chunks.len(), 2);
        assert!(chunks.iter().all(|chunk| chunk["candidates"][0].get("finishReason").is_none()));
    }

    #[test]
    fn a_blocked_prompt_has_feedback_and_no_candidates() {
        let mut blocked = answer("");
        (blocked.finish_reason, blocked.block_reason) = (None, Some("SAFETY"));
        let json: Value = serde_json::from_str(&blocked.to_json()).unwrap();
        assert_eq!(json["promptFeedback"]["blockReason"], "SAFETY");
        assert!(json.get("candidates").is_none());
        assert!(json["usageMetadata"].get("candidatesTokenCount").is_none(), "zero members are left out");
    }
}
