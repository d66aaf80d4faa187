//! `keyrot keys`.

use serde_json::json;

use crate::place::Place;

const COMMENTED: &str = r#"{
  // the team's keys
  "keys": [
    {
      "key_id": "flash_01", // the oldest
      "model_name": "gemini-2.5-flash",
      "rpm": 60, // as the console says
      "owner": "ada"
    }
  ]
}
"#;

#[test]
fn an_added_key_is_in_the_file_and_the_comments_stay() {
    let place = Place::new().file("keys.json", COMMENTED);
    let run = place.run(&[
        "keys",
        "add",
        "flash_02",
        "--model",
        "gemini-2.5-flash",
        "--project",
        "p",
        "--rpm",
        "10",
        "--tag",
        "region=eu-west",
        "--priority",
        "1",
        "--json",
    ]);
    let added = &run.json()["keys"][0];
    assert_eq!(json!([added["key_id"], added["project"], added["rpm"]]), json!(["flash_02", "p", 10]));
    let text = place.read("keys.json");
    for kept in ["// the team's keys", "// the oldest", "// as the console says", "\"owner\": \"ada\""] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    let listed = place.run(&["keys", "list", "--json"]).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    assert_eq!(listed["keys"][1]["tags"]["region"], "eu-west");
    assert!(listed["keys"][1]["created_at"].is_string(), "{listed}");
}

#[test]
fn adding_makes_the_file_if_there_is_none() {
    let place = Place::new();
    assert_eq!(place.run(&["keys", "add", "a", "--model", "m"]).code, 0);
    assert_eq!(place.run(&["keys", "list", "--json"]).json()["keys"][0]["key_id"], "a");
}

#[test]
fn set_changes_what_was_named_and_nothing_else() {
    let place = Place::new().file("keys.json", COMMENTED);
    assert_eq!(
        place.run(&["keys", "set", "flash_01", "--rpm", "30", "--tpm", "5000", "--weight", "2"]).code,
        0
    );
    let key = &place.run(&["keys", "list", "--json"]).json()["keys"][0];
    assert_eq!(json!([key["rpm"], key["tpm"], key["weight"]]), json!([30, 5000, 2]));
    assert_eq!(key["model_name"], "gemini-2.5-flash");
    assert_eq!(place.run(&["keys", "set", "flash_01", "--rpm", "none", "--model", "gemini-2.5-pro"]).code, 0);
    let key = &place.run(&["keys", "list", "--json"]).json()["keys"][0];
    assert_eq!(json!([key["rpm"], key["model_name"]]), json!([null, "gemini-2.5-pro"]));
    assert!(place.read("keys.json").contains("\"owner\": \"ada\""));
}

#[test]
fn disabled_keys_stay_and_are_not_used() {
    let place = Place::rotating();
    assert_eq!(place.run(&["keys", "disable", "flash_01", "flash_02"]).code, 0);
    place
        .run(&["generate", "x"])
        .fails(2, &["No API keys available for selection", "keys.json", "keyrot keys"]);
    assert_eq!(place.run(&["keys", "enable", "flash_02"]).code, 0);
    let json = place.run(&["explain", "--json"]).json();
    assert_eq!(json["selectable"], json!(["flash_02"]));
}

#[test]
fn removal_wants_a_yes() {
    let place = Place::rotating();
    place.run(&["keys", "remove", "pro_01"]).fails(2, &["--yes"]);
    assert!(place.read("keys.json").contains("pro_01"));
    assert_eq!(place.run(&["keys", "remove", "pro_01", "--yes"]).code, 0);
    assert!(!place.read("keys.json").contains("pro_01"));
}

#[test]
fn what_cannot_be_is_refused_and_the_file_stays() {
    let place = Place::rotating();
    let before = place.read("keys.json");
    place.run(&["keys", "add", "flash_01", "--model", "m"]).fails(2, &["has a key flash_01 already"]);
    place.run(&["keys", "add", "a/b", "--model", "m"]).fails(2, &["key_id", "a/b", "letters"]);
    place.run(&["keys", "add", "new"]).fails(2, &["--model"]);
    for command in ["set", "enable", "disable"] {
        let rest: &[&str] = if command == "set" { &["--rpm", "1"] } else { &[] };
        let arguments = [&["keys", command, "flush_01"], rest].concat();
        place.run(&arguments).fails(2, &["no key flush_01", "flash_01, flash_02, pro_01"]);
    }
    place.run(&["keys", "remove", "flush_01", "--yes"]).fails(2, &["no key flush_01"]);
    place.run(&["keys", "set", "flash_01"]).fails(2, &["nothing to set"]);
    place.run(&["keys", "set", "flash_01", "--rpm", "-1"]).fails(2, &["--rpm", "whole number"]);
    place
        .run(&["keys", "set", "flash_01", "--secret-name", "AIzaSyLooksLikeAKey"])
        .fails(2, &["looks like an API key"]);
    assert_eq!(place.read("keys.json"), before);
}
