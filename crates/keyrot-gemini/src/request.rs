//! What is asked of `generateContent`: contents, a system instruction, and the few settings that matter.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A request in the native form. Nothing is sent that was not set: temperature, `topP` and `topK` are deprecated
/// (July 2026) and newer models ignore or refuse them.
///
/// ```
/// use keyrot_gemini::GenerateRequest;
/// let request = GenerateRequest::user("Say hello").system("Be brief").max_output_tokens(64);
/// assert!(request.estimated_input_tokens() > 5);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct GenerateRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content>,
    contents: Vec<Content>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    generation_config: Map<String, Value>,
    #[serde(skip)]
    preferred_schema: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Value>,
}

impl Content {
    fn text(role: Option<&'static str>, text: impl Into<String>) -> Self {
        Self { role, parts: vec![json!({ "text": text.into() })] }
    }
}

impl GenerateRequest {
    /// One message of the user.
    pub fn user(text: impl Into<String>) -> Self {
        Self::default().user_turn(text)
    }

    /// The system instruction; it counts as input.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system_instruction = Some(Content::text(None, text));
        self
    }

    /// Adds a message of the user.
    pub fn user_turn(mut self, text: impl Into<String>) -> Self {
        self.contents.push(Content::text(Some("user"), text));
        self
    }

    /// Adds an earlier answer of the model.
    pub fn model_turn(mut self, text: impl Into<String>) -> Self {
        self.contents.push(Content::text(Some("model"), text));
        self
    }

    /// Most output tokens, thinking included: with too few the answer may be empty. For code give 8192 or more.
    pub fn max_output_tokens(self, tokens: u32) -> Self {
        self.setting("maxOutputTokens", tokens.into())
    }

    /// `application/json` or `text/x.enum`.
    pub fn response_mime_type(self, mime_type: &str) -> Self {
        self.setting("responseMimeType", mime_type.into())
    }

    /// The schema of a JSON answer; sets its MIME type as well.
    pub fn response_schema(self, schema: Value) -> Self {
        self.response_mime_type("application/json").setting("responseSchema", schema)
    }

    /// The schema of a JSON answer, for models that take one; text from all others.
    ///
    /// [`PooledGemini`](crate::PooledGemini) sends it to the models whose names begin with `gemini-`. A model that refuses
    /// it (400) is asked again without it, once, and is not sent one again by this client and its clones.
    /// [`Gemini`](crate::Gemini) leaves it out. With [`response_schema`](Self::response_schema) a refusal is an error.
    pub fn preferred_schema(mut self, schema: Value) -> Self {
        self.preferred_schema = Some(schema);
        self
    }

    /// Ends the answer before any of these texts (Gemini takes up to five).
    pub fn stop<T: Into<String>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        self.setting("stopSequences", texts.into())
    }

    /// Any other member of `generationConfig`, as `thinkingConfig` or `seed`.
    pub fn setting(mut self, name: &str, value: Value) -> Self {
        self.generation_config.insert(name.to_owned(), value);
        self
    }

    /// Any other member of the request, as `safetySettings`, `tools` or `cachedContent`.
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.others.insert(name.to_owned(), value);
        self
    }

    /// Input tokens to reserve: a third of the text's bytes and a few for each message. Google's rule is four
    /// characters a token; code runs denser, and a third of the bytes also fits scripts of two and three bytes. A
    /// schema counts as input.
    pub fn estimated_input_tokens(&self) -> u64 {
        const A_MESSAGE: usize = 8;
        let bytes = |content: &Content| {
            content.parts.iter().filter_map(|part| part["text"].as_str()).map(str::len).sum::<usize>()
        };
        let messages = self.system_instruction.iter().chain(&self.contents);
        let text: usize = messages.map(|content| bytes(content).div_ceil(3) + A_MESSAGE).sum();
        let schemas = self.preferred_schema.iter().chain(self.generation_config.get("responseSchema"));
        let others = self.others.values().chain(schemas);
        let others: usize = others.map(|value| value.to_string().len().div_ceil(3)).sum();
        u64::try_from(text + others).unwrap_or(u64::MAX)
    }

    /// The same request with its preferred schema as that of the answer.
    pub(crate) fn structured(&self) -> Option<Self> {
        let schema = self.preferred_schema.clone()?;
        Some(self.clone().response_schema(schema))
    }

    /// True if the preferred schema is that of the answer.
    pub(crate) fn is_structured(&self) -> bool {
        self.preferred_schema.is_some()
            && self.generation_config.get("responseSchema") == self.preferred_schema.as_ref()
    }

    /// The body of `countTokens`: the plain form, unless there is more to count than contents.
    pub(crate) fn counting_body(&self, model: &str) -> Value {
        if self.system_instruction.is_none() && self.others.is_empty() {
            return json!({ "contents": self.contents });
        }
        let mut request = json!(self);
        request["model"] = model.into();
        json!({ "generateContentRequest": request })
    }

    /// What would be refused as certainly as it is wrong.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.contents.is_empty().then_some("the request has no contents; add a message with user_turn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_set_is_sent() {
        assert_eq!(
            json!(GenerateRequest::user("hi")),
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
        );
        let request = GenerateRequest::user("hi")
            .model_turn("hello")
            .user_turn("again")
            .system("brief")
            .max_output_tokens(64)
            .response_schema(json!({"type": "STRING"}))
            .stop(["END"])
            .setting("seed", 7.into())
            .field("cachedContent", "cachedContents/x".into());
        assert_eq!(
            json!(request),
            json!({
                "systemInstruction": {"parts": [{"text": "brief"}]},
                "contents": [
                    {"role": "user", "parts": [{"text": "hi"}]},
                    {"role": "model", "parts": [{"text": "hello"}]},
                    {"role": "user", "parts": [{"text": "again"}]},
                ],
                "generationConfig": {
                    "maxOutputTokens": 64, "responseMimeType": "application/json",
                    "responseSchema": {"type": "STRING"}, "stopSequences": ["END"], "seed": 7,
                },
                "cachedContent": "cachedContents/x",
            })
        );
    }

    #[test]
    fn the_system_instruction_is_counted() {
        let plain = GenerateRequest::user("hi");
        assert_eq!(plain.counting_body("models/m"), json!({"contents": json!(plain)["contents"]}));
        let full = plain.system("brief").counting_body("models/m");
        assert_eq!(full["generateContentRequest"]["model"], "models/m");
        assert!(full["generateContentRequest"]["systemInstruction"].is_object());
    }

    #[test]
    fn a_preferred_schema_is_counted_and_sent_only_when_it_is_wanted() {
        let plain = GenerateRequest::user("hi");
        let preferring = plain.clone().preferred_schema(json!({"type": "STRING"}));
        assert_eq!(json!(preferring), json!(plain));
        let structured = preferring.structured().unwrap();
        assert_eq!(
            json!(structured)["generationConfig"],
            json!({"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}})
        );
        assert_eq!(preferring.estimated_input_tokens(), plain.estimated_input_tokens() + 6);
        assert!(plain.structured().is_none());
    }

    #[test]
    fn the_estimate_fits_latin_and_other_scripts() {
        assert_eq!(GenerateRequest::user("a".repeat(300)).estimated_input_tokens(), 108);
        assert_eq!(GenerateRequest::user("統".repeat(100)).estimated_input_tokens(), 108);
        assert_eq!(GenerateRequest::user("").system("").estimated_input_tokens(), 16);
    }
}
