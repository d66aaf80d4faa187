//! `keyrot explain` and `keyrot status`.

use serde_json::json;

use crate::place::Place;

#[test]
fn explain_tells_selectable_and_blocked_keys_with_reasons() {
    let place = Place::rotating().set("GEMINI_KEY_flash_02", "");
    let run = place.run(&["explain", "--json"]);
    let json = run.json();
    assert_eq!(json["scope"], "process");
    assert_eq!(json["selectable"], json!(["flash_01"]));
    let blocked: Vec<(&str, &str)> = json["blocked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["key_id"].as_str().unwrap(), key["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(blocked, [("flash_02", "secret_unavailable"), ("pro_01", "inactive")]);
    assert!(json["blocked"][1]["until"].is_null() && json["earliest_at"].is_string(), "{json}");
    assert!(run.stderr.contains("flash_02") && run.stderr.contains("GEMINI_KEY_flash_02"), "{run:?}");
}

#[test]
fn explain_tells_a_request_that_is_too_large_and_one_that_nobody_serves() {
    let place = Place::rotating();
    let json = place.run(&["explain", "--model", "gemini-2.5-flash", "--tokens", "2000000", "--json"]).json();
    assert_eq!(json["selectable"], json!([]));
    assert_eq!(json["blocked"][0]["reason"], "too_large");
    assert_eq!(json["earliest_at"], serde_json::Value::Null);
    place.run(&["explain", "--model", "none"]).fails(2, &["no entry serves model none"]);
    let people = place.run(&["explain"]);
    assert!(people.stdout.contains("earliest: now"), "{people:?}");
}

#[test]
fn no_secret_is_no_reason_not_to_explain() {
    let place = Place::rotating().set("GEMINI_KEY_flash_01", "").set("GEMINI_KEY_flash_02", "");
    let json = place.run(&["explain", "--json"]).json();
    assert_eq!(json["blocked"].as_array().unwrap().len(), 3, "{json}");
    assert_eq!(place.run(&["status"]).code, 0);
}

#[test]
fn thousands_of_missing_secrets_are_not_thousands_of_lines() {
    let entries: Vec<String> =
        (1..=1000).map(|number| format!(r#"{{"key_id": "k{number}", "model_name": "m"}}"#)).collect();
    let place = Place::new()
        .file("keys.json", &format!(r#"{{"keys": [{}]}}"#, entries.join(",")))
        .set("ENABLE_KEY_ROTATION", "true")
        .set("GEMINI_KEY_k7", "secret-of-k7");
    let run = place.run(&["explain", "--json"]);
    assert_eq!(run.json()["selectable"], json!(["k7"]));
    assert_eq!(run.stderr.matches("warning: key k").count(), 20, "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: 979 more like these; keyrot check tells all of them"),
        "{}",
        run.stderr
    );
}

#[test]
fn status_has_the_guides_fields_of_every_key() {
    let json = Place::rotating().run(&["status", "--json"]).json();
    assert_eq!(json["scope"], "process");
    let keys = json["keys"].as_object().unwrap();
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["flash_01", "flash_02", "pro_01"]);
    let key = &keys["flash_01"];
    assert_eq!(json!([key["model"], key["active"]]), json!(["gemini-2.5-flash", true]));
    for field in [
        "last_used",
        "success_count",
        "error_count",
        "in_cooldown",
        "cooldown_remaining_s",
        "reason",
        "strikes",
        "project",
    ] {
        assert!(key.get(field).is_some(), "{field}: {json}");
    }
    assert_eq!(key["usage"][0]["rpm"], 60);
    assert_eq!(json!([keys["pro_01"]["active"], keys["pro_01"]["reason"]]), json!([false, "inactive"]));
}

#[test]
fn tables_for_people_name_every_key() {
    let run = Place::rotating().run(&["status"]);
    for word in ["KEY", "flash_01", "flash_02", "pro_01", "0/60", "inactive"] {
        assert!(run.stdout.contains(word), "{word}: {run:?}");
    }
}
