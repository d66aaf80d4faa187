//! `keyrot keys`: what changes in the file, what is said, and the exit code.

use serde_json::{Value, json};

use crate::place::{EXAMPLE, Place, Run};

fn keys(place: &Place, arguments: &[&str]) -> Run {
    place.run(&[&["keys"], arguments].concat())
}

/// Refused as a mistake of the caller, with nothing on stdout.
fn refused(place: &Place, arguments: &[&str], words: &[&str]) -> Run {
    let run = keys(place, arguments);
    run.fails(2, words);
    assert!(run.stdout.is_empty(), "{run:?}");
    run
}

fn entry(place: &Place, id: &str) -> Value {
    let file: Value = serde_json::from_str(&place.read("keys.json")).unwrap();
    let entries = file["keys"].as_array().unwrap().clone();
    entries.into_iter().find(|entry| entry["key_id"] == id).unwrap_or(Value::Null)
}

#[test]
fn the_first_key_makes_the_file_and_names_the_variable_of_its_secret() {
    let place = Place::new();
    let done = keys(
        &place,
        &[
            "add",
            "flash_03",
            "--model",
            "gemini-2.5-flash",
            "--project",
            "p",
            "--rpm",
            "60",
            "--tpm",
            "1000000",
            "--rpd",
            "500",
            "--priority",
            "1",
            "--weight",
            "2",
            "--tag",
            "region=eu-west",
            "--tag",
            "tier=a=b",
        ],
    );
    assert_eq!((done.code, &*done.stdout), (0, "flash_03 was added to keys.json (a new file)\n"), "{done:?}");
    assert!(done.stderr.contains("set GEMINI_KEY_flash_03 to the API key"), "{done:?}");
    assert!(done.stderr.contains("ENABLE_KEY_ROTATION=true"), "{done:?}");
    let mut entry = entry(&place, "flash_03");
    let fields = entry.as_object_mut().unwrap();
    assert!(fields.remove("created_at").unwrap().as_str().unwrap().ends_with('Z'));
    assert!(fields.remove("updated_at").is_some());
    assert_eq!(
        entry,
        json!({"key_id": "flash_03", "model_name": "gemini-2.5-flash", "provider": "gemini", "project": "p", "rpm": 60,
            "tpm": 1_000_000, "rpd": 500, "priority": 1, "weight": 2, "active": true,
            "tags": {"region": "eu-west", "tier": "a=b"}})
    );
}

#[test]
fn a_secret_that_is_there_is_not_asked_for_and_not_shown() {
    let place =
        Place::new().file("keys.json", EXAMPLE).set("MY_KEY", "sentinel").set("ENABLE_KEY_ROTATION", "true");
    let done = keys(&place, &["add", "new", "--model", "m", "--secret", "MY_KEY", "--inactive"]);
    assert_eq!((done.code, &*done.stdout), (0, "new was added to keys.json\n"), "{done:?}");
    assert_eq!(done.stderr, "its secret is there: env:MY_KEY\n");
    assert_eq!(
        (&entry(&place, "new")["secret"], &entry(&place, "new")["active"]),
        (&json!("MY_KEY"), &json!(false))
    );
}

#[test]
fn an_id_that_exists_is_refused() {
    let place = Place::new().file("keys.json", EXAMPLE);
    refused(
        &place,
        &["add", "flash_01", "--model", "m"],
        &["has a key flash_01 already", "keyrot keys set flash_01"],
    );
    assert_eq!(place.read("keys.json"), EXAMPLE);
}

#[test]
fn what_the_file_could_not_hold_is_refused_by_name() {
    let place = Place::new().file("keys.json", EXAMPLE);
    refused(&place, &["add", "a/b", "--model", "m"], &["key_id is \"a/b\""]);
    refused(&place, &["add", "a", "--model", ""], &["a: model_name is empty"]);
    refused(&place, &["set", "flash_01", "--project", " "], &["flash_01: project is empty"]);
    refused(&place, &["add", "a", "--model", "m", "--rpm", "-1"], &["--rpm"]);
    refused(&place, &["add", "a", "--model", "m", "--tag", "region"], &["NAME=VALUE"]);
    refused(&place, &["add", "flash.01", "--model", "m"], &["flash_01", "GEMINI_KEY_flash_01"]);
    let done =
        refused(&place, &["set", "flash_01", "--secret", "AIzaSentinelSentinel"], &["looks like an API key"]);
    assert!(!done.stderr.contains("Sentinel"), "{done:?}");
    assert_eq!(place.read("keys.json"), EXAMPLE);
}

#[test]
fn set_changes_what_it_is_told_and_keeps_comments_unknown_fields_and_order() {
    let text = "{\n  // ours\n  \"keys\": [\n    {\"key_id\": \"b\", \"model_name\": \"m\", \"rpm\": 5, /* five */ \"note\": 1},\n    \
                {\"model_name\": \"m\", \"key_id\": \"a\", \"tags\": {\"x\": \"1\", \"y\": \"2\"}, \"tpm\": 9},\n  ],\n}\n";
    let place = Place::new().file("keys.json", text);
    let done = keys(&place, &["set", "b", "--rpm", "7"]);
    assert_eq!((done.code, &*done.stdout), (0, "b was changed in keys.json\n"), "{done:?}");
    let saved = place.read("keys.json");
    for kept in
        ["// ours", "/* five */", "\"note\": 1", "\"rpm\": 7", "{\"model_name\": \"m\", \"key_id\": \"a\""]
    {
        assert!(saved.contains(kept), "{kept} is not in {saved}");
    }
    assert!(saved.find("\"b\"") < saved.find("\"a\""), "{saved}");
    let set = ["set", "a", "--no-tpm", "--untag", "x", "--tag", "z=3", "--model", "pro", "--json"];
    let changed = keys(&place, &set).json();
    assert_eq!(changed["tags"], json!({"y": "2", "z": "3"}));
    assert_eq!(
        (&changed["tpm"], &changed["model_name"], &changed["changed"]),
        (&json!(null), &json!("pro"), &json!(true))
    );
    let again = keys(&place, &["list", "--json"]).json();
    assert_eq!(again["keys"][1]["tags"], json!({"y": "2", "z": "3"}));
}

#[test]
fn fields_are_taken_away() {
    let place = Place::new().file("keys.json", 
        r#"{"keys": [{"key_id": "a", "model_name": "m", "project": "p", "secret": "S", "rpm": 1, "tpm": 2, "rpd": 3}]}"#);
    let done = keys(&place, &["set", "a", "--no-project", "--no-secret", "--no-rpm", "--no-tpm", "--no-rpd"]);
    assert_eq!(done.code, 0, "{done:?}");
    let entry = entry(&place, "a");
    for field in ["project", "secret", "rpm", "tpm", "rpd"] {
        assert_eq!(entry.get(field), None, "{field}");
    }
    refused(&place, &["set", "a", "--rpm", "1", "--no-rpm"], &["--no-rpm"]);
}

#[test]
fn a_set_that_changes_nothing_says_so_and_writes_nothing() {
    let place = Place::new().file("keys.json", EXAMPLE);
    let done = keys(&place, &["set", "flash_01", "--rpm", "60"]);
    assert_eq!((done.code, &*done.stdout), (0, "flash_01 is like that already; keys.json was not changed\n"));
    assert_eq!(keys(&place, &["enable", "flash_01", "--json"]).json()["changed"], false);
    assert_eq!(place.read("keys.json"), EXAMPLE);
    refused(&place, &["set", "flash_01"], &["nothing to set"]);
}

#[test]
fn a_key_is_disabled_enabled_and_removed() {
    let place = Place::new().file("keys.json", EXAMPLE);
    assert_eq!(keys(&place, &["disable", "flash_02"]).code, 0);
    assert_eq!(entry(&place, "flash_02")["active"], false);
    assert_eq!(keys(&place, &["enable", "flash_02", "--json"]).json()["active"], true);
    assert_eq!(entry(&place, "flash_02")["active"], true);
    refused(&place, &["remove", "flash_02"], &["--yes"]);
    assert_ne!(entry(&place, "flash_02"), Value::Null);
    let done = keys(&place, &["remove", "flash_02", "--yes"]);
    assert_eq!((done.code, &*done.stdout), (0, "flash_02 was removed from keys.json\n"), "{done:?}");
    assert_eq!(done.stderr, "its secret stays where it is: env:GEMINI_KEY_flash_02\n");
    assert_eq!(entry(&place, "flash_02"), Value::Null);
    assert_eq!(keys(&place, &["remove", "flash_01", "--yes", "--json"]).json()["removed"], true);
}

#[test]
fn an_unknown_id_is_told_the_known_ones_nearest_first() {
    let place = Place::new().file("keys.json", EXAMPLE);
    for command in [&["set", "pro01", "--rpm", "1"][..], &["enable", "pro01"], &["remove", "pro01", "--yes"]]
    {
        refused(&place, command, &["has no key \"pro01\"; it has pro_01, flash_0"]);
    }
    refused(&place, &["disable", "FLASH_02"], &["it has flash_02, flash_01, pro_01"]);
}

#[test]
fn the_list_shows_every_field_and_where_the_secret_is_and_never_the_secret() {
    let text = r#"{"keys": [
        {"key_id": "a", "model_name": "m", "project": "p", "rpm": 5, "tpm": 100, "priority": 3, "weight": 4, "tags": {"x": "1"}},
        {"key_id": "b", "model_name": "m", "models": {"pro": {"rpd": 7}}, "secret": "OTHER", "active": false}]}"#;
    let place = Place::new().file("keys.json", text).set("GEMINI_KEY_a", "sentinel").set("OTHER", "sentinel");
    let done = keys(&place, &["list"]);
    let rows: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        ["KEY", "MODEL", "PROJECT", "LIMITS", "PRIORITY", "WEIGHT", "TAGS", "ACTIVE", "SECRET"]
    );
    assert_eq!(
        rows[1],
        ["a", "m", "p", "rpm", "5,", "tpm", "100", "3", "4", "x=1", "yes", "env:GEMINI_KEY_a"]
    );
    assert_eq!(rows[2], ["b", "m", "(own)", "none", "0", "1", "no", "env:OTHER"]);
    assert_eq!(rows[3], ["pro", "rpd", "7"]);
    assert!(!done.stdout.contains("sentinel") && !done.stdout.contains('\u{1b}'), "{done:?}");
    let listed = keys(&place, &["list", "--json"]).json();
    assert_eq!(listed["file"], "keys.json");
    assert_eq!(
        listed["keys"][0],
        json!({"key_id": "a", "model_name": "m", "provider": "gemini", "project": "p", "rpm": 5, "tpm": 100, "rpd": null,
            "models": {}, "priority": 3, "weight": 4, "active": true, "tags": {"x": "1"}, "secret": null,
            "locator": "env:GEMINI_KEY_a", "created_at": null, "updated_at": null})
    );
    assert_eq!(
        (&listed["keys"][1]["project"], &listed["keys"][1]["locator"]),
        (&json!("b"), &json!("env:OTHER"))
    );
    assert_eq!(listed["keys"][1]["models"], json!({"pro": {"rpm": null, "tpm": null, "rpd": 7}}));
}

#[test]
fn a_file_that_is_missing_or_broken_is_not_touched() {
    let missing = Place::new();
    for command in [&["list"][..], &["set", "a", "--rpm", "1"], &["remove", "a", "--yes"]] {
        refused(&missing, command, &["keys.json does not exist", "cp keys_example.json keys.json"]);
        assert!(!missing.path("keys.json").exists());
    }
    let broken = Place::new().file("keys.json", "{ broken");
    for command in [&["list"][..], &["add", "a", "--model", "m"], &["enable", "a"]] {
        refused(&broken, command, &["keys.json: not JSON"]);
        assert_eq!(broken.read("keys.json"), "{ broken");
    }
    let none = Place::new().file("keys.json", "{\"keys\": []}");
    assert!(keys(&none, &["list"]).stdout.contains("keyrot keys add"));
    refused(&none, &["enable", "a"], &["it has none"]);
}

#[test]
fn another_file_is_named_by_variable_or_argument() {
    let place = Place::new().set("KEYROT_KEYS_FILE", "mine.json");
    assert_eq!(keys(&place, &["add", "a", "--model", "m"]).code, 0);
    assert!(place.path("mine.json").exists() && !place.path("keys.json").exists());
    assert_eq!(keys(&place, &["list", "--json", "--keys-file", "keys.json"]).code, 2);
    assert_eq!(keys(&place, &["list", "--json"]).json()["keys"][0]["key_id"], "a");
}

#[test]
fn a_store_that_is_not_configured_does_not_keep_the_file_from_being_edited() {
    let place = Place::new().file("keys.json", EXAMPLE).set("SECRET_STORE_TYPE", "vault");
    let listed = keys(&place, &["list", "--json"]);
    assert_eq!(listed.json()["keys"][0]["locator"], Value::Null);
    assert!(listed.stderr.contains("VAULT_ADDR"), "{listed:?}");
    assert_eq!(keys(&place, &["disable", "flash_01"]).code, 0);
    assert_eq!(entry(&place, "flash_01")["active"], false);
}

#[test]
fn disabled_keys_are_not_used() {
    let place = Place::rotating();
    for id in ["flash_01", "flash_02"] {
        assert_eq!(keys(&place, &["disable", id]).code, 0);
    }
    let words = ["No API keys available for selection", "keys.json", "keyrot keys enable"];
    place.run(&["generate", "x"]).fails(2, &words);
    assert_eq!(keys(&place, &["enable", "flash_02"]).code, 0);
    assert_eq!(place.run(&["explain", "--json"]).json()["selectable"], json!(["flash_02"]));
}
