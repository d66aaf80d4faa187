//! From variables to a pool: one key, several keys, and the way there and back by variables alone.
#![cfg(feature = "secrets-env")]
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::Path;

use keyrot::secrecy::{ExposeSecret, SecretString};
use keyrot::{ConfigError, Environment, KeyId, KeyMetadata, KeyRequest, Notice, Opened, Settings, Vars};

const EXAMPLE: &str = include_str!("../../../keys_example.json");

async fn open(pairs: &[(&str, &str)]) -> Result<Opened, ConfigError> {
    // no Redis but the test's own
    let vars = Vars::from_iter(pairs.iter().copied()).over(Vars::from_iter([("REDIS_URL", "")]));
    Settings::from_vars(&vars)?.open().await
}

async fn secret_sent(opened: &Opened, request: &KeyRequest) -> String {
    let lease = opened.pool.acquire(request).await.unwrap().begin().unwrap();
    lease.secret().expose_secret().to_owned()
}

fn in_folder(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_key_needs_one_variable_and_serves_every_model() {
    let opened = open(&[("GEMINI_API_KEY", "the-secret")]).await.unwrap();
    assert!(opened.notices.is_empty());
    assert_eq!(secret_sent(&opened, &KeyRequest::any()).await, "the-secret");
    assert_eq!(secret_sent(&opened, &KeyRequest::model("gemini-2.5-flash")).await, "the-secret");
    let lease = opened.pool.acquire(&KeyRequest::any()).await.unwrap();
    assert_eq!((lease.key_id().as_str(), lease.model().as_str()), ("default", keyrot::DEFAULT_MODEL));
    drop(lease);
    let named = open(&[("GOOGLE_API_KEY", "x"), ("KEYROT_MODEL", "gemini-2.5-pro")]).await.unwrap();
    assert_eq!(named.pool.acquire(&KeyRequest::any()).await.unwrap().model().as_str(), "gemini-2.5-pro");
}

#[tokio::test]
async fn gemini_api_key_wins_with_one_warning_if_the_other_differs() {
    let same = open(&[("GEMINI_API_KEY", "a"), ("GOOGLE_API_KEY", "a")]).await.unwrap();
    assert!(same.notices.is_empty());
    let differ = open(&[("GEMINI_API_KEY", "sentinel-a"), ("GOOGLE_API_KEY", "sentinel-b")]).await.unwrap();
    let [Notice::Warning(warning)] = &differ.notices[..] else { panic!("{:?}", differ.notices) };
    assert!(warning.contains("GEMINI_API_KEY") && warning.contains("GOOGLE_API_KEY"), "{warning}");
    assert!(!warning.contains("sentinel"));
    assert_eq!(secret_sent(&differ, &KeyRequest::any()).await, "sentinel-a");
    let empty = open(&[("GEMINI_API_KEY", " "), ("GOOGLE_API_KEY", "b")]).await.unwrap();
    assert_eq!(secret_sent(&empty, &KeyRequest::any()).await, "b");
}

#[tokio::test]
async fn without_any_key_the_error_names_both_variables() {
    let error = open(&[]).await.unwrap_err().to_string();
    assert!(error.starts_with(keyrot::NO_KEYS), "{error}");
    assert!(error.contains("GEMINI_API_KEY") && error.contains("GOOGLE_API_KEY"), "{error}");
}

#[tokio::test]
async fn with_rotation_off_nothing_of_rotation_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let broken = in_folder(folder.path(), "keys.json", "{ broken");
    let opened = open(&[
        ("GEMINI_API_KEY", "the-secret"),
        ("ENABLE_KEY_ROTATION", "false"),
        ("SECRET_STORE_TYPE", "vault"),
        ("VAULT_ADDR", "not a url"),
        ("KEYROT_KEYS_FILE", &broken),
        ("KEYROT_SECRET_TTL", "nonsense"),
        ("REDIS_URL", "redis://localhost:6379/0"),
        ("GEMINI_KEY_flash_01", "other"),
    ])
    .await
    .unwrap();
    assert!(opened.notices.is_empty(), "{:?}", opened.notices);
    assert_eq!(secret_sent(&opened, &KeyRequest::model("gemini-2.5-flash")).await, "the-secret");
}

#[tokio::test]
async fn the_guides_keys_open_with_one_line_for_a_redis_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let keys = in_folder(folder.path(), "keys.json", EXAMPLE);
    let with_redis = |url: &'static str| {
        let keys = keys.clone();
        async move {
            let pairs = [
                ("ENABLE_KEY_ROTATION", "true"),
                ("SECRET_STORE_TYPE", "env"),
                ("GEMINI_KEY_flash_01", "one"),
                ("GEMINI_KEY_flash_02", "two"),
                ("GEMINI_API_KEY", "never-used"),
                ("KEYROT_KEYS_FILE", &keys),
                ("REDIS_URL", url),
            ];
            open(&pairs).await.unwrap()
        }
    };
    let opened = with_redis("redis://127.0.0.1:1").await;
    match &opened.notices[..] {
        [Notice::Warning(text)] if cfg!(feature = "ratelimit-redis") => {
            assert!(text.contains("redis://127.0.0.1:1") && text.contains("=open holds"), "{text}");
        }
        [Notice::Info(text)] => assert!(text.contains("Redis support is not in this build"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(opened.pool.keys().get("default").is_none(), "GEMINI_API_KEY is no hidden key");
    let sent = secret_sent(&opened, &KeyRequest::any()).await;
    assert!(["one", "two"].contains(&&*sent), "{sent}");
    assert!(with_redis("").await.notices.is_empty());
}

#[tokio::test]
async fn a_missing_file_says_how_to_make_one() {
    let error = open(&[("ENABLE_KEY_ROTATION", "1"), ("KEYROT_KEYS_FILE", "no/keys.json")]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no/keys.json") && error.contains("cp keys_example.json keys.json"), "{error}");
}

#[tokio::test]
async fn a_store_that_does_not_exist_is_told_with_those_that_do() {
    let folder = tempfile::tempdir().unwrap();
    let keys = in_folder(folder.path(), "keys.json", EXAMPLE);
    let pairs = [("ENABLE_KEY_ROTATION", "on"), ("KEYROT_KEYS_FILE", &*keys), ("SECRET_STORE_TYPE", "valut")];
    let error = open(&pairs).await.unwrap_err().to_string();
    assert!(error.contains("\"valut\"") && error.contains("env, vault, aws or azure"), "{error}");
}

#[tokio::test]
async fn problems_of_file_store_and_variables_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let keys = in_folder(folder.path(), "keys.json", r#"{"keys": [{"key_id": "a"}]}"#);
    let pairs = [
        ("ENABLE_KEY_ROTATION", "on"),
        ("KEYROT_KEYS_FILE", &*keys),
        ("SECRET_STORE_TYPE", "x"),
        ("KEYROT_SECRET_TTL", "y"),
    ];
    let error = open(&pairs).await.unwrap_err().to_string();
    for part in ["model_name", "SECRET_STORE_TYPE", "KEYROT_SECRET_TTL"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn one_secret_is_enough_and_none_is_an_error_that_names_every_place() {
    let folder = tempfile::tempdir().unwrap();
    let keys = in_folder(folder.path(), "keys.json", EXAMPLE);
    let base = [("ENABLE_KEY_ROTATION", "on"), ("KEYROT_KEYS_FILE", &*keys)];
    let some = [&base[..], &[("GEMINI_KEY_flash_02", "two")]].concat();
    let opened = open(&some).await.unwrap();
    let [(id, missing)] = &opened.without_secret[..] else { panic!("{:?}", opened.without_secret) };
    assert_eq!(id.as_str(), "flash_01");
    assert!(missing.to_string().contains("GEMINI_KEY_flash_01"), "{missing}");
    let warning = format!("key flash_01 is not used, it has no secret: {missing}");
    assert_eq!(opened.notices, [Notice::Warning(warning)]);
    for _ in 0..20 {
        assert_eq!(secret_sent(&opened, &KeyRequest::any()).await, "two");
    }
    let error = open(&base).await.unwrap_err().to_string();
    assert!(error.starts_with(keyrot::NO_KEYS), "{error}");
    for place in ["GEMINI_KEY_flash_01", "GEMINI_KEY_flash_02"] {
        assert!(error.contains(place), "{error}");
    }
    assert!(!error.contains("GEMINI_KEY_pro_01"), "an inactive key needs no secret: {error}");
}

#[tokio::test]
async fn a_file_without_an_active_key_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let keys = in_folder(folder.path(), "keys.json", r#"{"keys": []}"#);
    let error = open(&[("ENABLE_KEY_ROTATION", "on"), ("KEYROT_KEYS_FILE", &*keys)]).await.unwrap_err();
    assert!(error.to_string().starts_with(keyrot::NO_KEYS), "{error}");
    assert!(error.to_string().contains("no active key"), "{error}");
}

#[tokio::test]
async fn a_secret_changed_in_the_env_file_is_used_after_a_rejection() {
    let folder = tempfile::tempdir().unwrap();
    let env_file = in_folder(folder.path(), "my.env", "GEMINI_API_KEY=old\n");
    let environment = Environment::new(Vars::default(), Some(env_file.as_ref())).unwrap();
    let opened = Settings::from_environment(environment).unwrap().open().await.unwrap();
    let lease = opened.pool.acquire(&KeyRequest::any()).await.unwrap().begin().unwrap();
    in_folder(folder.path(), "my.env", "GEMINI_API_KEY=new\n");
    let rejected = keyrot::Outcome::new(keyrot::Blame::Key, keyrot::Effect::KeyRejected, "invalid");
    lease.report(rejected).await;
    assert_eq!(secret_sent(&opened, &KeyRequest::any()).await, "new");
    opened.close().await;
}

#[tokio::test]
async fn after_close_nobody_gets_a_key() {
    let opened = open(&[("GEMINI_API_KEY", "x")]).await.unwrap();
    let pool = opened.pool.clone();
    opened.close().await;
    assert!(matches!(pool.acquire(&KeyRequest::any()).await, Err(keyrot::AcquireError::Closed)));
}

#[tokio::test]
async fn a_written_secret_is_read_from_the_store_that_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.env");
    std::fs::write(&path, "SECRET_STORE_TYPE=env\n").unwrap();
    let environment = Environment::new(Vars::default(), Some(&path)).unwrap();
    let settings = Settings::from_environment(environment).unwrap();
    let key = KeyMetadata::new(KeyId::parse("a").unwrap(), "m");
    settings.secret_writer().unwrap().put(&key, &SecretString::from("new")).await.unwrap();
    let secrets = settings.rotation(Some(true)).secrets().unwrap();
    assert_eq!(secrets.fetch(&key).await.unwrap().expose_secret(), "new");
    let vault = Settings::from_vars(&Vars::from_iter([("SECRET_STORE_TYPE", "vautl")])).unwrap();
    let error = vault.secret_writer().unwrap_err().to_string();
    assert!(error.contains("SECRET_STORE_TYPE is \"vautl\"; allowed: env, vault, aws or azure"), "{error}");
}
