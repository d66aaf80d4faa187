//! keys_example.json and .env.example, as a newcomer copies them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use keyrot_core::{KeySet, Limits, parse_dotenv};

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

#[test]
fn the_example_is_strict_json_with_the_guides_keys() {
    let text = fs::read_to_string(root("keys_example.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let keys = KeySet::load(&root("keys_example.json")).unwrap();
    let ids: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
    assert_eq!(ids, ["flash_01", "flash_02", "pro_01"]);
    for (id, region) in [("flash_01", "us-east"), ("flash_02", "us-west")] {
        let key = keys.get(id).unwrap();
        assert_eq!(key.limits, Limits::new(Some(60), Some(1_000_000), Some(500)));
        assert!(key.active && key.tags["region"] == region && key.quota_project().as_str() == id);
    }
    let pro = keys.get("pro_01").unwrap();
    assert_eq!((pro.model_name.as_str(), pro.active), ("gemini-2.5-pro", false));
    assert_eq!(pro.limits, Limits::new(Some(10), Some(4_000_000), Some(100)));
    assert!(!ids.contains(&pro.quota_project().as_str()), "it shows the field project");
}

#[test]
fn the_example_survives_a_round_trip() {
    let text = fs::read_to_string(root("keys_example.json")).unwrap();
    let mut keys = KeySet::parse(&text).unwrap();
    for key in keys.clone().iter() {
        keys.upsert(key.clone()).unwrap();
    }
    assert_eq!(keys.to_text(SystemTime::UNIX_EPOCH).unwrap(), text);
}

#[test]
fn the_environment_example_sets_the_guides_block_and_nothing_else() {
    let text = fs::read_to_string(root(".env.example")).unwrap();
    let vars = parse_dotenv(&text).unwrap();
    for (name, value) in [
        ("ENABLE_KEY_ROTATION", "true"),
        ("SECRET_STORE_TYPE", "env"),
        ("GEMINI_KEY_flash_01", "your-api-key-1"),
        ("GEMINI_KEY_flash_02", "your-api-key-2"),
    ] {
        assert_eq!(vars.text(name), Some(value), "{name}");
    }
    assert_eq!(vars.names_with_prefix("").count(), 4);
}

#[test]
fn every_line_that_is_commented_out_works_when_it_is_not() {
    let text = fs::read_to_string(root(".env.example")).unwrap();
    let on: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_uppercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let vars = parse_dotenv(&on).unwrap();
    assert_eq!(vars.text("REDIS_URL"), Some("redis://localhost:6379/0"));
    assert_eq!(vars.duration("KEYROT_COOLDOWN_MAX").unwrap().unwrap().as_secs(), 900);
    assert_eq!(vars.duration("KEYROT_SECRET_TTL").unwrap().unwrap().as_secs(), 300);
}
