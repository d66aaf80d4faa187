//! Structured replies: the JSON that a model is asked for, and what is read from it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fence::fences;

/// Most assumptions that are kept of a reply.
const ASSUMPTIONS: usize = 20;
/// Most characters that are kept of a sentence.
const SENTENCE: usize = 300;

/// What a reply in JSON holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structured {
    pub(crate) code: String,
    pub(crate) assumptions: Vec<String>,
    /// Class attributes and what they mean.
    pub(crate) meanings: BTreeMap<String, String>,
}

/// The schema of a reply, in the form of Gemini's `responseSchema`: `code`, `assumptions` and `parameters`.
///
/// The defaults of the parameters are not asked for: they stand in the code.
pub fn reply_schema() -> Value {
    let text = |description: &str| json!({"type": "STRING", "description": description});
    json!({
        "type": "OBJECT",
        "properties": {
            "code": text("The whole Python module, without a fence."),
            "assumptions": {
                "type": "ARRAY",
                "items": text("What the request left open and you chose, in a sentence."),
            },
            "parameters": {
                "type": "ARRAY",
                "items": {
                    "type": "OBJECT",
                    "properties": {
                        "name": text("A class attribute of the strategy."),
                        "meaning": text("What it means, with its unit, in a few words."),
                    },
                    "required": ["name", "meaning"],
                    "propertyOrdering": ["name", "meaning"],
                },
            },
        },
        "required": ["code", "assumptions", "parameters"],
        "propertyOrdering": ["code", "assumptions", "parameters"],
    })
}

/// A reply that is JSON with a text `code`. What else is in it may have any shape: what can be used is taken.
pub(crate) fn read(reply: &str) -> Option<Structured> {
    let text = reply.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('{') {
        return None;
    }
    // What follows the object is prose.
    let reply: Map<String, Value> = serde_json::Deserializer::from_str(text).into_iter().next()?.ok()?;
    let code = reply.get("code")?.as_str()?.to_owned();
    let assumptions = match reply.get("assumptions") {
        Some(Value::Array(sentences)) => sentences.iter().filter_map(sentence).take(ASSUMPTIONS).collect(),
        Some(one) => sentence(one).into_iter().collect(),
        None => Vec::new(),
    };
    let parameters = reply.get("parameters").and_then(Value::as_array);
    let meanings = parameters.into_iter().flatten().filter_map(|parameter| {
        Some((parameter.get("name")?.as_str()?.trim().to_owned(), sentence(parameter.get("meaning")?)?))
    });
    Some(Structured { code, assumptions, meanings: meanings.collect() })
}

/// The same in a fenced block, for a reply in which there is nothing else.
pub(crate) fn read_fenced(reply: &str) -> Option<Structured> {
    fences(reply).iter().find_map(|fence| read(&fence.code))
}

/// In one line, without control characters: it is shown on terminals.
fn sentence(value: &Value) -> Option<String> {
    let words = value.as_str()?.replace(char::is_control, " ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = words.chars().take(SENTENCE).collect();
    if shown.len() < words.len() {
        shown.push_str(" ...");
    }
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let reply = json!({
            "code": "x = 1",
            "assumptions": ["Daily bars.", " \n", "All\u{1b}[31m of\nthe cash.", 7],
            "parameters": [{"name": " n ", "meaning": "days"}, {"name": "m"}, "k", {"meaning": "?"}],
        });
        let found = read(&reply.to_string()).unwrap();
        assert_eq!(found.code, "x = 1");
        assert_eq!(found.assumptions, ["Daily bars.", "All [31m of the cash."]);
        assert_eq!(found.meanings, BTreeMap::from([("n".to_owned(), "days".to_owned())]));
        let fields: Vec<String> = reply_schema()["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["assumptions", "code", "parameters"]);
    }

    #[test]
    fn only_the_code_must_have_its_type() {
        for reply in [
            r#"{"code": "x", "assumptions": null, "parameters": 5} And prose."#,
            "\u{feff}\n{\"code\": \"x\"}",
        ] {
            assert_eq!(read(reply), Some(Structured { code: "x".to_owned(), ..Structured::default() }));
        }
        for reply in
            ["", "{", "[]", r#"{"code": 5}"#, r#"{"Code": "x"}"#, r#"{"code": "x"#, "x = {'code': 1}"]
        {
            assert_eq!(read(reply), None, "{reply}");
        }
        assert_eq!(read_fenced("Here:\n```json\n{\"code\": \"x\"}\n```").unwrap().code, "x");
    }

    #[test]
    fn a_model_that_never_ends_fills_no_screen() {
        let endless = vec!["a".repeat(5000); 500];
        let found = read(&json!({"code": "", "assumptions": endless}).to_string()).unwrap();
        assert_eq!(found.assumptions.len(), ASSUMPTIONS);
        assert_eq!(found.assumptions[0].chars().count(), SENTENCE + 4);
    }
}
