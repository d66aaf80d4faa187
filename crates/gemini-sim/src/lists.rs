//! The replies of `models.list` and `models.get`.

use serde_json::{Value, json};

use crate::bodies::{Refusal, bad_request};
use crate::catalog::Model;

/// Google's default page.
const PAGE: usize = 50;

/// One page of the list; the token is the index of the page's first model.
pub(crate) fn page(models: &[Model], size: Option<usize>, token: Option<&str>) -> Result<Value, Refusal> {
    let first = match token {
        None | Some("") => 0,
        Some(token) => token.parse().ok().filter(|first| *first < models.len()).ok_or_else(|| {
            bad_request(
                "page_token",
                "The page token is not valid. Use the next_page_token of the last page.",
            )
        })?,
    };
    let size = size.filter(|size| *size > 0).unwrap_or(PAGE).min(1_000);
    let shown: Vec<Value> = models.iter().skip(first).take(size).map(entry).collect();
    let next = first + shown.len();
    let mut page = json!({"models": shown});
    if next < models.len() {
        page["nextPageToken"] = json!(next.to_string());
    }
    Ok(page)
}

/// One model.
pub(crate) fn entry(model: &Model) -> Value {
    let mut entry = json!({
        "name": format!("models/{}", model.name),
        "version": model.version,
        "displayName": display_name(&model.name),
        "description": format!("Simulated {}", model.name),
        "inputTokenLimit": model.input_token_limit,
        "outputTokenLimit": model.output_token_limit,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
    });
    if model.thinking_tokens > 0 {
        entry["thinking"] = json!(true); // false is left out, as proto3 JSON does
    }
    entry
}

/// `gemini-3.8-flash` as `Gemini 3.8 Flash`.
fn display_name(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    name.split('-').map(capital).collect::<Vec<String>>().join(" ")
}
