//! Reads the JSON of a request as strictly as Gemini does: unknown names are refused.

use serde_json::{Map, Value};

use crate::bodies::{Refusal, bad_request};
use crate::call::tokens;
use crate::schema;

/// What the service needs to know of a request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// What the user's turns say.
    pub(crate) prompt: String,
    /// What the system instruction says.
    pub(crate) system: String,
    /// Tokens of all texts, the model's turns and the schema included.
    pub(crate) input_tokens: u64,
    pub(crate) max_output_tokens: Option<u64>,
    /// The schema of a JSON answer, if JSON is asked for.
    pub(crate) schema: Option<Value>,
}

const REQUEST: &[&str] = &[
    "cachedContent",
    "contents",
    "generationConfig",
    "model",
    "safetySettings",
    "serviceTier",
    "systemInstruction",
    "toolConfig",
    "tools",
];

const GENERATION_CONFIG: &[&str] = &[
    "candidateCount",
    "enableEnhancedCivicAnswers",
    "frequencyPenalty",
    "imageConfig",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "presencePenalty",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "seed",
    "speechConfig",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
];

/// The body of generateContent and streamGenerateContent.
pub(crate) fn generation(body: &[u8]) -> Result<Request, Refusal> {
    read(&object(body)?)
}

/// The body of countTokens: `contents`, or a whole `generateContentRequest`.
pub(crate) fn counting(body: &[u8]) -> Result<Request, Refusal> {
    let body = object(body)?;
    match member(&body, "generateContentRequest") {
        Some(Value::Object(inner)) => read(inner),
        Some(_) => Err(wrong_type("generate_content_request", "an object")),
        None => read(&body),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(bad_request("", "Invalid JSON payload received. Expected an object.")),
        Err(error) => Err(bad_request("", &format!("Invalid JSON payload received. {error}"))),
    }
}

fn read(body: &Map<String, Value>) -> Result<Request, Refusal> {
    known_names("", body, REQUEST)?;
    let mut request = Request::default();
    let mut characters = 0;
    let turns = match member(body, "contents") {
        Some(Value::Array(turns)) if !turns.is_empty() => turns,
        None | Some(Value::Array(_)) => {
            return Err(bad_request(
                "contents",
                "* GenerateContentRequest.contents: contents is not specified\n",
            ));
        }
        Some(_) => return Err(wrong_type("contents", "an array")),
    };
    for (index, turn) in turns.iter().enumerate() {
        let (role, text) = texts(&format!("contents[{index}]"), turn)?;
        characters += text.chars().count();
        match role {
            "user" | "function" => append(&mut request.prompt, &text),
            "model" => {}
            _ => return Err(bad_request("contents.role", "Please use a valid role: user, model.")),
        }
    }
    if let Some(instruction) = member(body, "systemInstruction") {
        let (_, text) = texts("system_instruction", instruction)?;
        characters += text.chars().count();
        request.system = text;
    }
    match member(body, "generationConfig") {
        None => {}
        Some(Value::Object(config)) => {
            known_names("generation_config", config, GENERATION_CONFIG)?;
            request.max_output_tokens = max_output_tokens(config)?;
            let member = |name| member(config, name);
            request.schema = schema::of_config(
                member("responseMimeType"),
                member("responseSchema"),
                member("responseJsonSchema"),
            )?;
            characters += request.schema.as_ref().map_or(0, |schema| schema.to_string().chars().count());
        }
        Some(_) => return Err(wrong_type("generation_config", "an object")),
    }
    request.input_tokens = tokens(characters);
    Ok(request)
}

/// Role (`user` if missing) and all texts of one turn.
fn texts<'a>(field: &str, turn: &'a Value) -> Result<(&'a str, String), Refusal> {
    let role = turn.get("role").and_then(Value::as_str).unwrap_or("user");
    let Some(Value::Array(parts)) = turn.get("parts") else {
        return Err(wrong_type(&format!("{field}.parts"), "an array"));
    };
    let mut text = String::new();
    for part in parts {
        if !part.is_object() {
            return Err(wrong_type(&format!("{field}.parts"), "an array of objects"));
        }
        if let Some(said) = part.get("text") {
            let said = said.as_str().ok_or_else(|| wrong_type(&format!("{field}.parts.text"), "a string"))?;
            append(&mut text, said);
        }
    }
    Ok((role, text))
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

fn max_output_tokens(config: &Map<String, Value>) -> Result<Option<u64>, Refusal> {
    let Some(value) = member(config, "maxOutputTokens") else { return Ok(None) };
    // proto3 JSON takes whole numbers as strings, too.
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match number {
        Some(0) | None => Err(bad_request(
            "generation_config.max_output_tokens",
            "* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive.\n",
        )),
        number => Ok(number),
    }
}

fn known_names(field: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    let Some(name) = object.keys().find(|name| !known.contains(&camel_case(name).as_str())) else {
        return Ok(());
    };
    let place = if field.is_empty() { String::new() } else { format!(" at '{field}'") };
    Err(bad_request(
        field,
        &format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."),
    ))
}

/// The member of this camelCase name, written in either way that proto3 JSON allows.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, value)| camel_case(key) == name && !value.is_null()).map(|(_, value)| value)
}

pub(crate) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn wrong_type(field: &str, expected: &str) -> Refusal {
    bad_request(field, &format!("Invalid value at '{field}', expected {expected}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        let refusal = generation(json.as_bytes()).unwrap_err();
        assert_eq!(refusal.status, 400);
        let body: Value = serde_json::from_str(&refusal.body).unwrap();
        body["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn tokens_of_all_texts_are_counted_and_only_the_users_turns_are_the_prompt() {
        let request = generation(
            br#"{"system_instruction": {"parts": [{"text": "be brief"}]},
                 "contents": [{"role": "user", "parts": [{"text": "one"}, {"text": "two"}]},
                              {"role": "model", "parts": [{"text": "aha"}]}, {"parts": [{"text": "three"}]}],
                 "generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {}}}"#,
        )
        .unwrap();
        assert_eq!(request.prompt, "one\ntwo\nthree");
        assert_eq!(request.system, "be brief");
        assert_eq!((request.input_tokens, request.max_output_tokens), (6, Some(9)));
    }

    #[test]
    fn what_the_schema_lacks_is_refused_by_name() {
        assert!(message(r#"{"contents": [{"parts": []}], "prompt": 1}"#).contains("Unknown name \"prompt\""));
        let nested = message(r#"{"contents": [{"parts": []}], "generationConfig": {"max_tokens": 1}}"#);
        assert!(nested.contains("Unknown name \"max_tokens\" at 'generation_config'"), "{nested}");
        assert!(message("{}").contains("contents is not specified"));
        assert!(message("[").contains("Invalid JSON payload"));
        assert!(message(r#"{"contents": [{"parts": [{"text": 5}]}]}"#).contains("'contents[0].parts.text'"));
        assert!(message(r#"{"contents": [{"role": "system", "parts": []}]}"#).contains("valid role"));
    }

    #[test]
    fn counting_takes_both_forms() {
        let plain = counting(br#"{"contents": [{"parts": [{"text": "12345"}]}]}"#).unwrap();
        let whole = counting(
            br#"{"generateContentRequest": {"model": "models/m", "contents": [{"parts": [{"text": "12345"}]}],
                 "systemInstruction": {"parts": [{"text": "1234"}]}}}"#,
        )
        .unwrap();
        assert_eq!((plain.input_tokens, whole.input_tokens), (2, 3));
    }
}
