//! Where a credential may come from. All of it from variables that are given: the process environment has none.

use std::fs;

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{SecretErrorKind, SecretStore, Vars};
use keyrot_test_servers::{Microburst, Moto};
use serde_json::json;
use tempfile::TempDir;

use crate::api::{SECRET, key, store_of, write};
use crate::metadata::Metadata;

async fn with_a_secret() -> Moto {
    let moto = Moto::start().await;
    write(moto.url(), "algoagent/flash_01", SECRET).await;
    moto
}

fn vars(url: &str, home: &TempDir, more: &[(&str, &str)]) -> Vars {
    let home = home.path().to_str().unwrap();
    let usual = [("AWS_ENDPOINT_URL", url), ("HOME", home), ("AWS_EC2_METADATA_DISABLED", "true")];
    more.iter().copied().collect::<Vars>().over(Vars::from_iter(usual))
}

async fn reads(vars: &Vars) {
    let secret = store_of(vars).fetch(&key("flash_01")).await;
    assert_eq!(secret.unwrap().expose_secret(), SECRET);
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn variables_a_profile_and_a_process_give_one() {
    let moto = with_a_secret().await;
    let home = TempDir::new().unwrap();
    reads(&vars(moto.url(), &home, &[("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "x")]))
        .await;
    let files = home.path().join("elsewhere");
    let process = r#"{"Version": 1, "AccessKeyId": "AKIATEST", "SecretAccessKey": "x"}"#;
    fs::write(
        &files,
        format!("[work]\naws_access_key_id = AKIATEST\naws_secret_access_key = x\n[by_process]\ncredential_process = echo '{process}'\n"),
    )
    .unwrap();
    let file = ("AWS_SHARED_CREDENTIALS_FILE", files.to_str().unwrap());
    reads(&vars(moto.url(), &home, &[file, ("AWS_PROFILE", "work")])).await;
    reads(&vars(moto.url(), &home, &[file, ("AWS_PROFILE", "by_process")])).await;
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn a_web_identity_gives_one() {
    let moto = with_a_secret().await;
    let home = TempDir::new().unwrap();
    let token = home.path().join("token");
    fs::write(&token, "a.b.c").unwrap();
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod");
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap());
    reads(&vars(moto.url(), &home, &[role, token])).await;
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn none_anywhere_is_told_with_what_to_set() {
    let moto = with_a_secret().await;
    let home = TempDir::new().unwrap();
    let error = store_of(&vars(moto.url(), &home, &[])).fetch(&key("flash_01")).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
    let text = error.to_string();
    assert!(text.contains("no credential was found"), "{text}");
    assert!(text.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"), "{text}");
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn a_source_that_fails_is_told_without_its_words() {
    let moto = with_a_secret().await;
    let home = TempDir::new().unwrap();
    let files = home.path().join("config");
    fs::write(&files, "[default]\ncredential_process = echo hunter2 >&2; exit 1\n").unwrap();
    let vars = vars(moto.url(), &home, &[("AWS_CONFIG_FILE", files.to_str().unwrap())]);
    let error = store_of(&vars).fetch(&key("flash_01")).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
    let text = format!("{error} {error:?}");
    assert!(text.contains("credential_process, the container or the instance) something failed"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn after_a_refusal_the_profile_is_read_again() {
    let moto = with_a_secret().await;
    let proxy = Microburst::before(&moto).await;
    let home = TempDir::new().unwrap();
    let files = home.path().join("credentials");
    let write = |region: &str, process: &str| {
        fs::write(&files, format!("[default]\nregion = {region}\ncredential_process = {process}\n")).unwrap();
    };
    write("eu-west-1", r#"echo '{"Version": 1, "AccessKeyId": "AKIAOLD", "SecretAccessKey": "x"}'"#);
    let store =
        store_of(&vars(proxy.url(), &home, &[("AWS_SHARED_CREDENTIALS_FILE", files.to_str().unwrap())]));
    let error = json!({"code": "ExpiredTokenException", "message": "over"});
    proxy.add_rule(&json!({"service": "secretsmanager", "error": error, "times": 1})).await;
    let error = store.fetch(&key("flash_01")).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
    assert!(error.to_string().contains(", region eu-west-1)"), "the profile's region was asked: {error}");
    let used = home.path().join("used");
    let new = r#"echo '{"Version": 1, "AccessKeyId": "AKIANEW", "SecretAccessKey": "x"}'"#;
    write("us-east-1", &format!("touch {}; {new}", used.display()));
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), SECRET);
    assert!(used.exists(), "the new profile was not read");
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn a_container_and_an_instance_give_one() {
    let moto = with_a_secret().await;
    let home = TempDir::new().unwrap();
    let metadata = Metadata::start().await;
    let container = format!("{}/container", metadata.url);
    reads(&vars(moto.url(), &home, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)])).await;
    assert!(metadata.asked("GET /container"));
    let instance = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url.as_str()),
    ];
    reads(&vars(moto.url(), &home, &instance)).await;
    assert!(metadata.asked("GET /latest/meta-data/iam/security-credentials/the-role"));
}
