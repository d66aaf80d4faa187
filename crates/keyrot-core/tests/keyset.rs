//! Reading keys.json: what is accepted, and how each problem is named.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use keyrot_core::{KeyId, KeyMetadata, KeySet, Limits, ModelName};

fn one(fields: &str) -> KeyMetadata {
    let text = format!(r#"{{"keys": [{{"key_id": "k", "model_name": "m", {fields} "x": 0}}]}}"#);
    KeySet::parse(&text).unwrap().get("k").unwrap().clone()
}

fn problems(text: &str) -> Vec<String> {
    KeySet::parse(text).unwrap_err().problems().to_vec()
}

fn problem_of(fields: &str) -> String {
    let all = problems(&format!(r#"{{"keys": [{{"key_id": "k", "model_name": "m", {fields}}}]}}"#));
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

#[test]
fn an_empty_list_is_a_valid_file() {
    assert!(KeySet::parse(r#"{"keys": []}"#).unwrap().is_empty());
}

#[test]
fn defaults_are_those_of_the_guide() {
    let key = one("");
    assert_eq!(key, KeyMetadata::new(KeyId::parse("k").unwrap(), "m"));
    assert!(key.active && key.priority == 0 && key.weight == 1 && key.provider == "gemini");
    assert_eq!(key.limits, Limits::default());
}

#[test]
fn null_is_the_same_as_absent() {
    let nulls = r#""rpm": null, "rpd": null, "priority": null, "tags": null, "active": null,
        "created_at": null, "project": null, "models": null, "provider": null,"#;
    assert_eq!(one(nulls), one(""));
}

#[test]
fn comments_trailing_commas_a_byte_order_mark_and_the_originals_fields_are_accepted() {
    let text = "\u{feff}// head\n{\n \"fallback_order\": [1], /* c */\n \"keys\": [\n  {\"key_id\": \"a\", \
                \"model_name\": \"m\", \"burst_capacity\": 5, \"workload_type\": \"light\",}, // rpm\n ],\n}\n";
    assert_eq!(KeySet::parse(text).unwrap().len(), 1);
}

#[test]
fn limits_zero_and_exponents() {
    let key = one(r#""rpm": 0, "tpm": 1e6, "rpd": 500,"#);
    assert_eq!(key.limits, Limits::new(Some(0), Some(1_000_000), Some(500)));
}

#[test]
fn tags_become_text() {
    let key = one(r#""tags": {"region": "us", "tier": 1, "paid": true},"#);
    let tags: Vec<(&str, &str)> = key.tags.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(tags, [("paid", "true"), ("region", "us"), ("tier", "1")]);
}

#[test]
fn models_include_model_name_with_its_limits() {
    let key = one(r#""rpm": 3, "models": {"models/pro": {"rpm": 1}, "free": {}},"#);
    let served: Vec<(String, Option<u32>)> =
        key.served_models().into_iter().map(|(model, limits)| (model.to_string(), limits.rpm)).collect();
    assert_eq!(served, [("free".into(), None), ("m".into(), Some(3)), ("pro".into(), Some(1))]);
}

#[test]
fn an_unknown_provider_is_kept() {
    assert_eq!(one(r#""provider": "claude","#).provider, "claude");
}

#[test]
fn times_with_and_without_a_zone() {
    for time in ["2024-01-01T00:00:00", "2024-01-01T00:00:00.123456", "2024-01-01T00:00:00+02:00"] {
        assert_eq!(one(&format!(r#""created_at": "{time}","#)).created_at.as_deref(), Some(time));
    }
    let problem = problem_of(r#""updated_at": "yesterday""#);
    assert!(problem.starts_with(r#"keys[0] (k): updated_at is "yesterday"; allowed: "#), "{problem}");
    problem_of(r#""created_at": "2024-02-30T00:00:00Z""#);
}

#[test]
fn a_wrong_value_names_entry_field_finding_and_what_is_allowed() {
    for (fields, expected) in [
        (r#""rpm": -5"#, "keys[0] (k): rpm is -5; allowed: a whole number from 0 to 4294967295"),
        (r#""rpm": 1.5"#, "keys[0] (k): rpm is 1.5; allowed: a whole number from 0 to 4294967295"),
        (r#""rpd": 4294967296"#, "rpd is 4294967296; allowed"),
        (r#""tpm": "60""#, "tpm is a text; allowed: a whole number from 0 to 18446744073709551615"),
        (r#""priority": true"#, "priority is true or false; allowed: a whole number"),
        (r#""weight": []"#, "weight is a list; allowed: a whole number"),
        (r#""active": "yes""#, "active is a text; allowed: true or false"),
        (r#""provider": 7"#, "provider is 7; allowed: a text in double quotes"),
        (r#""project": """#, "project is empty; allowed: a text"),
        (r#""tags": []"#, "tags is a list; allowed: an object"),
        (r#""tags": {"a": []}"#, "keys[0] (k): tags: a is a list; allowed: a text, a number"),
        (r#""models": {"pro": 5}"#, "models: pro is 5; allowed: an object"),
        (r#""models": {"pro": {"rpm": -1}}"#, "models: pro: rpm is -1; allowed: a whole number"),
        (r#""rpm": 1, "rpm": 2"#, "rpm is stated twice"),
    ] {
        let problem = problem_of(fields);
        assert!(problem.contains(expected), "{fields}: {problem}");
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let found = problems(
        r#"{"keys": [
            {"model_name": "m"},
            {"key_id": "a/b", "model_name": "m"},
            {"key_id": "c", "rpm": -1, "active": 1},
            7,
            {"key_id": "d", "model_name": "m"},
            {"key_id": "d", "model_name": "m"}]}"#,
    );
    let expected = [
        "keys[0]: key_id is missing; it is the unique name of the key",
        "keys[1]: key_id is \"a/b\"; allowed: 1 to 64 letters",
        "keys[2] (c): model_name is missing; it is the model that the key serves",
        "keys[2] (c): rpm is -1",
        "keys[2] (c): active is 1; allowed: true or false",
        "keys[3] is a number; allowed: an object",
        "keys[4] and keys[5] both have the key_id d",
    ];
    for text in expected {
        assert!(found.iter().any(|problem| problem.starts_with(text)), "{text}\nnot in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_file_of_another_shape_says_what_is_allowed() {
    for (text, expected) in [
        ("", "must hold an object"),
        ("[]", "must hold an object"),
        ("{}", "\"keys\" is missing; allowed: one list"),
        (r#"{"keys": {}}"#, "\"keys\" is an object; allowed: a list"),
        (r#"{"keys": [], "keys": []}"#, "\"keys\" is stated twice"),
        ("{\"keys\": [\n}", "not JSON: Unexpected close brace"),
        ("{'keys': []}", "not JSON"),
        ("# comment\n{\"keys\": []}", "not JSON"),
        ("{\"keys\": []} {}", "not JSON"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
    assert!(problems("{\"keys\": [\n}")[0].contains("line 2"), "the place is named");
}

#[test]
fn an_api_key_in_the_field_secret_is_refused_and_not_repeated() {
    let problem = problem_of(r#""secret": "AIzaSyD-0123456789""#);
    assert!(problem.contains("secret looks like an API key") && !problem.contains("0123"), "{problem}");
}

const SHARED: &str = r#"{"keys": [
    {"key_id": "b", "model_name": "m", "secret": "one"},
    {"key_id": "a", "model_name": "n", "secret": "one" PROJECT},
    {"key_id": "c", "model_name": "m", "secret": "other"},
    {"key_id": "d", "model_name": "m"}]}"#;

fn projects(keys: &KeySet) -> Vec<String> {
    keys.iter().map(|key| key.quota_project().to_string()).collect()
}

#[test]
fn entries_with_one_secret_share_the_project_that_one_states() {
    let keys = KeySet::parse(&SHARED.replace("PROJECT", r#", "project": "p""#)).unwrap();
    assert_eq!(projects(&keys), ["p", "p", "c", "d"]);
}

#[test]
fn entries_with_one_secret_and_no_project_share_one_named_after_the_first_id() {
    assert_eq!(projects(&KeySet::parse(&SHARED.replace("PROJECT", "")).unwrap()), ["a", "a", "c", "d"]);
}

#[test]
fn entries_with_one_secret_in_two_projects_are_refused_naming_both() {
    let text = SHARED.replace("PROJECT", r#", "project": "p""#);
    let text = text.replacen(r#""secret": "one""#, r#""secret": "one", "project": "q""#, 1);
    let found = problems(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("b and a have the same secret"), "{found:?}");
    assert!(found[0].contains(r#""q" and "p""#), "{found:?}");
}

#[test]
fn an_implied_project_follows_the_entry_that_states_it() {
    let mut keys = KeySet::parse(&SHARED.replace("PROJECT", "")).unwrap();
    keys.upsert(keys.get("b").unwrap().clone().with_priority(1)).unwrap();
    assert_eq!(projects(&keys), ["a", "a", "c", "d"]);
    keys.upsert(keys.get("a").unwrap().clone().with_project("p")).unwrap();
    assert_eq!(projects(&keys), ["p", "p", "c", "d"]);
    keys.remove(&KeyId::parse("a").unwrap());
    assert_eq!(projects(&keys), ["b", "c", "d"]);
}

#[test]
fn a_refused_upsert_changes_nothing() {
    let mut keys = KeySet::parse(&SHARED.replace("PROJECT", r#", "project": "p""#)).unwrap();
    let mut other = KeyMetadata::new(KeyId::parse("e").unwrap(), "m").with_project("q");
    other.secret = Some("one".to_owned());
    assert!(keys.upsert(other).unwrap_err().to_string().contains("same secret"));
    let mut bad = KeyMetadata::new(KeyId::parse("f").unwrap(), "m");
    bad.created_at = Some("now".to_owned());
    assert!(keys.upsert(bad).unwrap_err().to_string().contains("created_at"));
    let mut nameless = KeyMetadata::new(KeyId::parse("g").unwrap(), "");
    nameless.model_name = ModelName::from("");
    assert!(keys.upsert(nameless).unwrap_err().to_string().contains("model_name"));
    assert_eq!(projects(&keys), ["p", "p", "c", "d"]);
    assert!(!keys.to_text(std::time::SystemTime::UNIX_EPOCH).unwrap().contains("\"e\""));
}

#[test]
fn single_key_mode_is_a_set_of_one() {
    let keys = KeySet::single("gemini-flash-latest");
    let key = keys.get("default").unwrap();
    assert_eq!((keys.len(), key.model_name.as_str()), (1, "gemini-flash-latest"));
    assert_eq!(key.limits, Limits::default());
}

#[test]
fn fields_that_mean_nothing_are_named_with_their_entry() {
    let text = "\u{feff}{\"keys\": [{\"key_id\": \"a\", \"model_name\": \"m\", \"prority\": 1, \"tags\": {\"x\": 1}},
        {\"key_id\": \"b\", \"model_name\": \"m\", \"models\": {\"pro\": {\"rmp\": 1, \"rpd\": 2}}, \"RPM\": null}]}";
    let mut keys = KeySet::parse(text).unwrap();
    let named = |keys: &KeySet| -> Vec<String> {
        keys.unknown_fields().iter().map(|(id, field)| format!("{id} {field}")).collect()
    };
    assert_eq!(named(&keys), ["a prority", "b models.pro.rmp", "b RPM"]);
    keys.remove(&KeyId::parse("b").unwrap());
    assert_eq!(named(&keys), ["a prority"]);
    assert!(KeySet::default().unknown_fields().is_empty());
}

#[test]
fn each_listed_field_is_read() {
    for field in KeySet::FIELDS {
        let required = ["key_id", "model_name"].into_iter().filter(|name| name != field);
        let required: Vec<String> = required.map(|name| format!("\"{name}\": \"x\"")).collect();
        let text = format!("{{\"keys\": [{{{}, \"{field}\": []}}]}}", required.join(", "));
        let all = problems(&text);
        assert!(
            all.iter().any(|problem| problem.contains(&format!(": {field} is a list"))),
            "{field}: {all:?}"
        );
    }
}
