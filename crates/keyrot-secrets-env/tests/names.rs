//! Which variable holds the secret of a key, and what the store says when none does.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{KeyId, KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, Vars};
use keyrot_secrets_env::EnvStore;
use tempfile::TempDir;

fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "m")
}

async fn fetch(store: &EnvStore, id: &str) -> Result<String, SecretError> {
    store.fetch(&key(id)).await.map(|secret| secret.expose_secret().to_owned())
}

fn process(pairs: &[(&str, &str)]) -> EnvStore {
    EnvStore::new(pairs.iter().copied().collect::<Vars>())
}

#[tokio::test]
async fn the_guides_name_with_case_kept() {
    let store = process(&[("GEMINI_KEY_flash_01", " sk-1 "), ("GEMINI_KEY_FLASH_01", "sk-2")]);
    assert_eq!(fetch(&store, "flash_01").await.unwrap(), "sk-1");
    assert_eq!(store.locator(&key("flash_01")), "env:GEMINI_KEY_flash_01");
}

#[tokio::test]
async fn the_exact_name_comes_first_then_the_one_that_a_shell_can_set() {
    let settable = ("GEMINI_KEY_a_b_c", "settable");
    assert_eq!(fetch(&process(&[settable]), "a-b.c").await.unwrap(), "settable");
    let both = process(&[settable, ("GEMINI_KEY_a-b.c", "exact")]);
    assert_eq!(fetch(&both, "a-b.c").await.unwrap(), "exact");
}

#[tokio::test]
async fn a_missing_secret_names_every_variable_that_would_do() {
    let error = fetch(&process(&[]), "flash_01").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "env:GEMINI_KEY_flash_01: not set; set GEMINI_KEY_flash_01 to the API key, in the environment or in .env"
    );
    let error = fetch(&process(&[]), "a-b").await.unwrap_err().to_string();
    assert!(error.contains("set GEMINI_KEY_a-b or GEMINI_KEY_a_b to the API key"), "{error}");
}

#[tokio::test]
async fn an_empty_variable_is_named() {
    let error = fetch(&process(&[("GEMINI_KEY_a_b", "  ")]), "a-b").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Empty);
    assert!(error.to_string().contains("GEMINI_KEY_a_b is empty"), "{error}");
}

#[tokio::test]
async fn the_process_wins_over_the_file_and_a_changed_file_is_seen() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(".env");
    let vars = Vars::from_iter([("GEMINI_KEY_fixed", "process")]);
    let store = EnvStore::with_dotenv(vars, &path);
    assert_eq!(fetch(&store, "a").await.unwrap_err().kind(), SecretErrorKind::NotFound);
    fs::write(&path, "GEMINI_KEY_a=one\nGEMINI_KEY_fixed=file\n").unwrap();
    assert_eq!(fetch(&store, "a").await.unwrap(), "one");
    assert_eq!(fetch(&store, "fixed").await.unwrap(), "process");
    fs::write(&path, "GEMINI_KEY_a=two\n").unwrap();
    assert_eq!(fetch(&store, "a").await.unwrap(), "two");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_by_line_and_may_be_better_soon() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(".env");
    fs::write(&path, "GEMINI_KEY_a=one\nAIzaSecret\n").unwrap();
    let store = EnvStore::with_dotenv(Vars::default(), &path);
    let error = fetch(&store, "a").await.unwrap_err();
    assert!(error.is_transient());
    let text = format!("{error} {error:?}");
    assert!(text.contains(".env: line 2: ") && !text.contains("AIza"), "{text}");
}

fn check(entries: &str) -> Result<(), String> {
    EnvStore::new(Vars::default())
        .check(&KeySet::parse(&format!("{{\"keys\": [{entries}]}}")).unwrap())
        .map_err(|error| error.to_string())
}

fn entry(id: &str, more: &str) -> String {
    format!(r#"{{"key_id": "{id}", "model_name": "m"{more}}}"#)
}

#[test]
fn two_ids_that_lead_to_one_variable_are_refused_naming_both() {
    let error = check(&[entry("a-b", ""), entry("a.b", ""), entry("c", "")].join(",")).unwrap_err();
    assert_eq!(error.lines().count(), 1);
    assert!(error.starts_with("a-b and a.b both take their secret from GEMINI_KEY_a_b;"), "{error}");
    check(&[entry("a_b", ""), entry("a-b", "")].join(",")).unwrap_err();
}

#[test]
fn ids_that_differ_in_case_are_two() {
    check(&[entry("a", ""), entry("A", ""), entry("a-b", "")].join(",")).unwrap();
}

#[test]
fn one_explicit_secret_may_be_shared_but_not_taken_from_another_id() {
    let shared = r#", "secret": "SHARED""#;
    check(&[entry("a", shared), entry("b", shared)].join(",")).unwrap();
    let error = check(&[entry("a", ""), entry("b", r#", "secret": "GEMINI_KEY_a""#)].join(",")).unwrap_err();
    assert!(error.starts_with("a and b both take their secret from GEMINI_KEY_a;"), "{error}");
}

#[test]
fn debug_shows_no_value() {
    let shown = format!("{:?}", process(&[("GEMINI_KEY_a", "sk-secret")]));
    assert!(!shown.contains("sk-secret"), "{shown}");
}
