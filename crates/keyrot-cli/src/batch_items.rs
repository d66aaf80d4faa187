//! The lines of a batch: each a JSON object that says what to generate.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One strategy of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Names its files.
    pub(crate) id: String,
    /// What it does, in a sentence.
    pub(crate) text: String,
    /// Its class.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Its class attributes, with their defaults as Python expressions.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, String>,
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: Option<String>,
    text: String,
    name: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, Value>,
}

/// The items of a file; or every problem, each with its line.
pub(crate) fn parse(text: &str) -> Result<Vec<Item>, String> {
    let mut items: Vec<Item> = Vec::new();
    let mut ids = BTreeSet::new();
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match item(number + 1, line) {
            Ok(item) if !ids.insert(item.id.clone()) => {
                problems.push(format!("line {}: the id {} is there twice", number + 1, item.id));
            }
            Ok(item) => items.push(item),
            Err(problem) => problems.push(format!("line {}: {problem}", number + 1)),
        }
    }
    match problems.is_empty() {
        true if items.is_empty() => Err("there is no line in it".to_owned()),
        true => Ok(items),
        false => Err(problems.join("\n")),
    }
}

fn item(number: usize, line: &str) -> Result<Item, String> {
    let written: Written = serde_json::from_str(line).map_err(|error| {
        format!("{error}; allowed: {{\"text\": \"...\"}} with \"id\", \"name\" and \"params\" if you like")
    })?;
    let id = written.id.unwrap_or_else(|| number.to_string());
    let good = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&c);
    if !id.chars().all(good) || id.starts_with('.') || !(1..=64).contains(&id.len()) {
        return Err(format!(
            "the id is {id:?}; allowed: 1 to 64 letters, digits, `_`, `-`, `.`, not first a dot"
        ));
    }
    if written.text.trim().is_empty() {
        return Err("the text is empty; say in a sentence what the strategy does".to_owned());
    }
    let params = written.params.into_iter().map(|(name, value)| (name, expression(value))).collect();
    Ok(Item { id, text: written.text, name: written.name, params })
}

/// A text is an expression as it stands, as with --param; anything else is told in Python.
fn expression(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_needs_a_text_and_has_its_number_as_id() {
        let text = "{\"text\": \"a\"}\n\n{\"id\": \"b-1\", \"text\": \"b\", \"name\": \"B\", \"params\": {\"n\": 14, \"on\": true, \
                    \"k\": \"'x'\"}}\n";
        let items = parse(text).unwrap();
        assert_eq!(items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["1", "b-1"]);
        assert_eq!(items[1].name.as_deref(), Some("B"));
        let params: Vec<(&str, &str)> =
            items[1].params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(params, [("k", "'x'"), ("n", "14"), ("on", "True")]);
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "{\"text\": \"a\", \"id\": \"x\"}\n{\"text\": \" \"}\nnonsense\n{\"text\": \"b\", \"id\": \"x\"}\n{\"text\": \"b\", \
                    \"id\": \"../x\"}\n{\"text\": \"b\", \"colour\": 1}\n";
        let problems = parse(text).unwrap_err();
        for told in [
            "line 2: the text is empty",
            "line 3: expected",
            "line 4: the id x is there twice",
            "line 5: the id is \"../x\"",
            "line 6: unknown field `colour`",
        ] {
            assert!(problems.contains(told), "{told}: {problems}");
        }
        assert_eq!(parse("\n").unwrap_err(), "there is no line in it");
    }
}
