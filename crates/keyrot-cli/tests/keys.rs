//! `keyrot keys` as it is called: what changes in the file, what is said, and the exit code.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../keys_example.json");

/// A folder to work in, without a terminal and without variables but those of the test.
struct Desk {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Desk {
    fn new(keys: Option<&str>) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        if let Some(text) = keys {
            fs::write(desk.path(), text).unwrap();
        }
        desk
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn entry(&self, id: &str) -> Value {
        let file: Value = serde_json::from_str(&self.text()).unwrap();
        let entries = file["keys"].as_array().unwrap().clone();
        entries.into_iter().find(|entry| entry["key_id"] == id).unwrap_or(Value::Null)
    }

    fn keys(&self, arguments: &[&str]) -> Done {
        let output = Command::new(env!("CARGO_BIN_EXE_keyrot"))
            .arg("keys")
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Done::of(&output)
    }
}

#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
    }
}

#[test]
fn the_first_key_makes_the_file_and_names_the_variable_of_its_secret() {
    let desk = Desk::new(None);
    let done = desk.keys(&[
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
    ]);
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "flash_03 was added to keys.json (a new file)\n"),
        "{done:?}"
    );
    assert!(done.err.contains("set GEMINI_KEY_flash_03 to the API key"), "{done:?}");
    assert!(done.err.contains("ENABLE_KEY_ROTATION=true"), "{done:?}");
    let mut entry = desk.entry("flash_03");
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
    let desk = Desk::new(Some(EXAMPLE)).with("MY_KEY", "sentinel").with("ENABLE_KEY_ROTATION", "true");
    let done = desk.keys(&["add", "new", "--model", "m", "--secret", "MY_KEY", "--inactive"]);
    assert_eq!((done.code, &*done.out), (Some(0), "new was added to keys.json\n"), "{done:?}");
    assert_eq!(done.err, "its secret is there: env:MY_KEY\n");
    assert_eq!(
        (&desk.entry("new")["secret"], &desk.entry("new")["active"]),
        (&json!("MY_KEY"), &json!(false))
    );
}

#[test]
fn an_id_that_exists_is_refused() {
    let desk = Desk::new(Some(EXAMPLE));
    desk.keys(&["add", "flash_01", "--model", "m"])
        .refused(&["has a key flash_01 already", "keyrot keys set flash_01"]);
    assert_eq!(desk.text(), EXAMPLE);
}

#[test]
fn what_the_file_could_not_hold_is_refused_by_name() {
    let desk = Desk::new(Some(EXAMPLE));
    desk.keys(&["add", "a/b", "--model", "m"]).refused(&["key_id is \"a/b\""]);
    desk.keys(&["add", "a", "--model", ""]).refused(&["a: model_name is empty"]);
    desk.keys(&["set", "flash_01", "--project", " "]).refused(&["flash_01: project is empty"]);
    desk.keys(&["add", "a", "--model", "m", "--rpm", "-1"]).refused(&["--rpm"]);
    desk.keys(&["add", "a", "--model", "m", "--tag", "region"]).refused(&["NAME=VALUE"]);
    desk.keys(&["add", "flash.01", "--model", "m"]).refused(&["flash_01", "GEMINI_KEY_flash_01"]);
    let done = desk.keys(&["set", "flash_01", "--secret", "AIzaSentinelSentinel"]);
    done.refused(&["looks like an API key"]);
    assert!(!done.err.contains("Sentinel"), "{done:?}");
    assert_eq!(desk.text(), EXAMPLE);
}

#[test]
fn set_changes_what_it_is_told_and_keeps_comments_unknown_fields_and_order() {
    let text = "{\n  // ours\n  \"keys\": [\n    {\"key_id\": \"b\", \"model_name\": \"m\", \"rpm\": 5, /* five */ \"note\": 1},\n    \
                {\"model_name\": \"m\", \"key_id\": \"a\", \"tags\": {\"x\": \"1\", \"y\": \"2\"}, \"tpm\": 9},\n  ],\n}\n";
    let desk = Desk::new(Some(text));
    let done = desk.keys(&["set", "b", "--rpm", "7"]);
    assert_eq!((done.code, &*done.out), (Some(0), "b was changed in keys.json\n"), "{done:?}");
    let saved = desk.text();
    for kept in
        ["// ours", "/* five */", "\"note\": 1", "\"rpm\": 7", "{\"model_name\": \"m\", \"key_id\": \"a\""]
    {
        assert!(saved.contains(kept), "{kept} is not in {saved}");
    }
    assert!(saved.find("\"b\"") < saved.find("\"a\""), "{saved}");
    let changed = desk
        .keys(&["set", "a", "--no-tpm", "--untag", "x", "--tag", "z=3", "--model", "pro", "--json"])
        .json();
    assert_eq!(changed["tags"], json!({"y": "2", "z": "3"}));
    assert_eq!(
        (&changed["tpm"], &changed["model_name"], &changed["changed"]),
        (&json!(null), &json!("pro"), &json!(true))
    );
    let again = desk.keys(&["keys", "list", "--json"][1..]).json();
    assert_eq!(again["keys"][1]["tags"], json!({"y": "2", "z": "3"}));
}

#[test]
fn fields_are_taken_away() {
    let desk = Desk::new(Some(
        r#"{"keys": [{"key_id": "a", "model_name": "m", "project": "p", "secret": "S", "rpm": 1, "tpm": 2, "rpd": 3}]}"#,
    ));
    let done = desk.keys(&["set", "a", "--no-project", "--no-secret", "--no-rpm", "--no-tpm", "--no-rpd"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let entry = desk.entry("a");
    for field in ["project", "secret", "rpm", "tpm", "rpd"] {
        assert_eq!(entry.get(field), None, "{field}");
    }
    desk.keys(&["set", "a", "--rpm", "1", "--no-rpm"]).refused(&["--no-rpm"]);
}

#[test]
fn a_set_that_changes_nothing_says_so_and_writes_nothing() {
    let desk = Desk::new(Some(EXAMPLE));
    let done = desk.keys(&["set", "flash_01", "--rpm", "60"]);
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "flash_01 is like that already; keys.json was not changed\n")
    );
    assert_eq!(desk.keys(&["enable", "flash_01", "--json"]).json()["changed"], false);
    assert_eq!(desk.text(), EXAMPLE);
    desk.keys(&["set", "flash_01"]).refused(&["nothing to set"]);
}

#[test]
fn a_key_is_disabled_enabled_and_removed() {
    let desk = Desk::new(Some(EXAMPLE));
    assert_eq!(desk.keys(&["disable", "flash_02"]).code, Some(0));
    assert_eq!(desk.entry("flash_02")["active"], false);
    assert_eq!(desk.keys(&["enable", "flash_02", "--json"]).json()["active"], true);
    assert_eq!(desk.entry("flash_02")["active"], true);
    desk.keys(&["remove", "flash_02"]).refused(&["--yes"]);
    assert_ne!(desk.entry("flash_02"), Value::Null);
    let done = desk.keys(&["remove", "flash_02", "--yes"]);
    assert_eq!((done.code, &*done.out), (Some(0), "flash_02 was removed from keys.json\n"), "{done:?}");
    assert_eq!(done.err, "its secret stays where it is: env:GEMINI_KEY_flash_02\n");
    assert_eq!(desk.entry("flash_02"), Value::Null);
    assert_eq!(desk.keys(&["remove", "flash_01", "--yes", "--json"]).json()["removed"], true);
}

#[test]
fn an_unknown_id_is_told_the_known_ones_nearest_first() {
    let desk = Desk::new(Some(EXAMPLE));
    for command in [&["set", "pro01", "--rpm", "1"][..], &["enable", "pro01"], &["remove", "pro01", "--yes"]]
    {
        desk.keys(command).refused(&["has no key \"pro01\"; it has pro_01, flash_0"]);
    }
    desk.keys(&["disable", "FLASH_02"]).refused(&["it has flash_02, flash_01, pro_01"]);
}

#[test]
fn the_list_shows_every_field_and_where_the_secret_is_and_never_the_secret() {
    let text = r#"{"keys": [
        {"key_id": "a", "model_name": "m", "project": "p", "rpm": 5, "tpm": 100, "priority": 3, "weight": 4, "tags": {"x": "1"}},
        {"key_id": "b", "model_name": "m", "models": {"pro": {"rpd": 7}}, "secret": "OTHER", "active": false}]}"#;
    let desk = Desk::new(Some(text)).with("GEMINI_KEY_a", "sentinel").with("OTHER", "sentinel");
    let done = desk.keys(&["list"]);
    let rows: Vec<Vec<&str>> = done.out.lines().map(|line| line.split_whitespace().collect()).collect();
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
    assert!(!done.out.contains("sentinel") && !done.out.contains('\u{1b}'), "{done:?}");
    let listed = desk.keys(&["list", "--json"]).json();
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
    let missing = Desk::new(None);
    for command in [&["list"][..], &["set", "a", "--rpm", "1"], &["remove", "a", "--yes"]] {
        missing.keys(command).refused(&["keys.json does not exist", "cp keys_example.json keys.json"]);
        assert!(!missing.path().exists());
    }
    let broken = Desk::new(Some("{ broken"));
    for command in [&["list"][..], &["add", "a", "--model", "m"], &["enable", "a"]] {
        broken.keys(command).refused(&["keys.json: not JSON"]);
        assert_eq!(broken.text(), "{ broken");
    }
    let none = Desk::new(Some("{\"keys\": []}"));
    assert!(none.keys(&["list"]).out.contains("keyrot keys add"));
    none.keys(&["enable", "a"]).refused(&["it has none"]);
}

#[test]
fn another_file_is_named_by_variable_or_argument() {
    let desk = Desk::new(None).with("KEYROT_KEYS_FILE", "mine.json");
    assert_eq!(desk.keys(&["add", "a", "--model", "m"]).code, Some(0));
    assert!(desk.folder.path().join("mine.json").exists() && !desk.path().exists());
    assert_eq!(desk.keys(&["list", "--json", "--keys-file", "keys.json"]).code, Some(2));
    assert_eq!(desk.keys(&["list", "--json"]).json()["keys"][0]["key_id"], "a");
}

#[test]
fn a_store_that_this_build_leaves_out_does_not_keep_the_file_from_being_edited() {
    let desk = Desk::new(Some(EXAMPLE)).with("SECRET_STORE_TYPE", "vault");
    let listed = desk.keys(&["list", "--json"]);
    assert_eq!(listed.json()["keys"][0]["locator"], Value::Null);
    assert!(listed.err.contains("SECRET_STORE_TYPE"), "{listed:?}");
    assert_eq!(desk.keys(&["disable", "flash_01"]).code, Some(0));
    assert_eq!(desk.entry("flash_01")["active"], false);
}
