//! docs/configuration.md says what the command prints, which fields keys.json has and which options there are.

use std::collections::BTreeSet;

use keyrot::KeySet;
use serde_json::Value;

use crate::place::{Place, provider, serve};

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// What stands under a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let (_, below) = PAGE.split_once(&format!("# {heading}\n")).unwrap();
    below.split("\n#").next().unwrap()
}

/// The words in code style of the first columns of its tables.
fn first_column(heading: &str) -> BTreeSet<&'static str> {
    let rows = section(heading).lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| row.split('|').next().unwrap().split('`').step_by(2))
        .map(str::trim)
        .filter(|word| !word.is_empty() && *word != ",")
        .collect()
}

/// Names of the fields, those of objects inside included.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                shape(value, &path, into);
                into.insert(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| shape(value, path, into)),
        _ => {}
    }
}

#[test]
fn the_examples_have_the_fields_that_are_printed() {
    let place = Place::rotating().set("GEMINI_KEY_flash_01", "");
    for id in ["flash_02", "pro_01"] {
        assert_eq!(place.run(&["keys", "remove", id, "--yes"]).code, 0);
    }
    assert_eq!(place.run(&["keys", "add", "pro_01", "--model", "gemini-2.5-pro"]).code, 0);
    assert_eq!(place.run(&["keys", "disable", "pro_01"]).code, 0);
    for command in ["status", "explain", "check"] {
        let block = section(&format!("JSON of {command}")).split("```").nth(1).unwrap();
        let documented: Value = serde_json::from_str(block.trim_start_matches("json")).unwrap();
        let mut printed: Value = serde_json::from_str(&place.run(&[command, "--json"]).stdout).unwrap();
        if let Some(keys) = printed.get_mut("keys").and_then(Value::as_object_mut) {
            keys.retain(|id, _| id == "flash_01");
        }
        let (mut said, mut is) = (BTreeSet::new(), BTreeSet::new());
        shape(&documented, command, &mut said);
        shape(&printed, command, &mut is);
        assert_eq!(said, is);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_generate_has_the_fields_that_are_printed() {
    let server = serve(provider()).await;
    let generated = Place::rotating().at(&server).run(&["generate", "x", "--json"]).json();
    let printed = generated.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(first_column("JSON of generate"), printed);
}

#[test]
fn the_table_of_fields_is_that_of_the_reader() {
    assert_eq!(first_column("keys.json"), KeySet::FIELDS.iter().copied().collect());
}

#[test]
fn every_subcommand_and_every_common_option_is_named() {
    let help = Place::new().run(&["--help"]).stdout;
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !["", "help"].contains(name)) {
        assert!(section("The command").contains(&format!("`{name}`")), "{name}");
    }
    let options = help.split_whitespace().filter(|word| word.starts_with("--"));
    for option in options.filter(|option| !["--help", "--version"].contains(option)) {
        assert!(section("The command").contains(&format!("`{option}")), "{option}");
    }
}
