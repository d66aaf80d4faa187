//! Every error that docs/backends.md lists is provoked, and nothing else is said.

use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyMetadata, SecretError, SecretErrorKind, SecretStore, SecretWriter, StoreTimeouts};
use keyrot_secrets_vault::{KvVersion, VaultConfig, VaultCredential, VaultStore};
use keyrot_test_servers::{Certificates, OpenBao, free_port};
use keyrot_testkit::leak::assert_absent;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Vault, key};
use crate::scripted::{Scripted, TOKEN};

pub(crate) const SECRET: &str = "AIzaSentinel-c41d7e09b6f2";
pub(crate) const WRONG_TOKEN: &str = "k83fd0c2b9e4a71566";
pub(crate) const WRONG_ROLE: &str = "r1d0c9b8a7f6e5d4c3";
pub(crate) const WRONG_SECRET_ID: &str = "s5e4d3c2b1a09f8e7d";

const ACTIVE: &str = "200 OK\r\n\r\n{\"sealed\": false}";
const STANDBY: &str = "429 Too Many Requests\r\n\r\n{\"standby\": true}";

/// The rows of the table: what is said, and the kind.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../../docs/backends.md");
    let section = page.split("### Troubleshooting Vault").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (said, rest) = row.split_once("` | ").unwrap();
        (said.to_owned(), rest.split(" | ").next().unwrap().to_owned())
    })
    .collect()
}

fn word(kind: SecretErrorKind) -> &'static str {
    match kind {
        SecretErrorKind::Denied => "denied",
        SecretErrorKind::Disabled => "disabled",
        SecretErrorKind::Empty => "empty",
        SecretErrorKind::NotFound => "not found",
        SecretErrorKind::Throttled => "throttled",
        SecretErrorKind::TimedOut => "timed out",
        SecretErrorKind::Unauthenticated => "unauthenticated",
        SecretErrorKind::Unavailable => "unavailable",
        SecretErrorKind::Unreachable => "unreachable",
        SecretErrorKind::WrongShape => "wrong shape",
        other => panic!("{other:?} is not in the table"),
    }
}

async fn error(store: &VaultStore, key: &KeyMetadata) -> SecretError {
    store.fetch(key).await.unwrap_err()
}

/// What the state of the secret, of its mount and of the policy gives.
async fn of_the_secret() -> Vec<SecretError> {
    let vault = Vault::new().await;
    let (flash, store) = (key("flash_01"), &*vault.store);
    let mut errors = vec![error(store, &flash).await];
    vault.put_fields(&flash, json!({"value": " "})).await;
    errors.push(error(store, &flash).await);
    vault.put_fields(&flash, json!({"api_key": SECRET})).await;
    errors.push(error(store, &flash).await);
    vault.put_fields(&flash, json!({"value": 4711})).await;
    errors.push(error(store, &flash).await);
    let second = key("flash_02");
    vault.put_fields(&second, json!({"value": SECRET})).await;
    vault.root(Method::DELETE, &vault.wire(&second), json!({})).await;
    errors.push(error(store, &second).await);
    vault.root(Method::PUT, "secret/destroy/algoagent/flash_02", json!({"versions": [1]})).await;
    errors.push(error(store, &second).await);

    let root = SecretString::from(vault.server(async |server| server.token().to_owned()));
    let nowhere = vault.store_with(|config| {
        config.credential = VaultCredential::Token(root);
        config.secret_path = "nowhere/algoagent".to_owned();
        config.kv_version = Some(KvVersion::V2);
    });
    errors.push(error(&nowhere, &flash).await);
    let root = SecretString::from(vault.server(async |server| server.token().to_owned()));
    let version_1 = vault.store_with(|config| {
        config.credential = VaultCredential::Token(root);
        config.kv_version = Some(KvVersion::V1);
    });
    errors.push(error(&version_1, &flash).await);
    let unnamed = vault.store_with(|config| config.namespace = Some("nowhere".to_owned()));
    errors.push(error(&unnamed, &flash).await);
    let elsewhere = vault.store_with(|config| config.secret_path = "nowhere/algoagent".to_owned());
    errors.push(error(&elsewhere, &flash).await);
    vault.allow("[\"deny\"]").await;
    errors.push(error(store, &flash).await);
    errors
}

/// What the credential gives.
async fn of_the_credential() -> Vec<SecretError> {
    let vault = Vault::new().await;
    let flash = key("flash_01");
    let with = |credential| vault.store_with(|config| config.credential = credential);
    let role = |mount: &str| VaultCredential::AppRole {
        mount: mount.to_owned(),
        role_id: SecretString::from(WRONG_ROLE),
        secret_id: SecretString::from(WRONG_SECRET_ID),
    };
    vault.root(Method::POST, "sys/auth/approle", json!({"type": "approle"})).await;
    vec![
        error(&with(VaultCredential::Token(SecretString::from(WRONG_TOKEN))), &flash).await,
        error(&with(VaultCredential::TokenFile("no/such/file".into())), &flash).await,
        error(&with(role("approle")), &flash).await,
        error(&with(role("elsewhere")), &flash).await,
    ]
}

/// What the state of a real server gives.
async fn of_the_server() -> Vec<SecretError> {
    let flash = key("flash_01");
    let config = |address: String| VaultConfig {
        address,
        credential: VaultCredential::Token(SecretString::from(WRONG_TOKEN)),
        secret_path: "secret/algoagent".to_owned(),
        field: "value".to_owned(),
        namespace: None,
        ca_file: None,
        skip_verify: false,
        kv_version: None,
    };
    let short = StoreTimeouts { connect: Duration::from_secs(2), total: Duration::from_secs(3) };
    let store = |address: String| VaultStore::new(config(address), short).unwrap();
    let certificates = Certificates::make();
    let mut server = OpenBao::sealed(Some(&certificates)).await;
    let mut errors = vec![error(&store(server.address().to_owned()), &flash).await];
    let trusting = VaultStore::new(
        VaultConfig { ca_file: Some(certificates.ca()), ..config(server.address().to_owned()) },
        short,
    );
    let trusting = trusting.unwrap();
    errors.push(error(&trusting, &flash).await);
    server.process().freeze();
    errors.push(error(&trusting, &flash).await);
    errors.push(error(&store(format!("http://127.0.0.1:{}", free_port())), &flash).await);

    let mut active = OpenBao::on_disk(None).await;
    let standby = active.standby().await;
    let mut config = config(standby.address().to_owned());
    config.credential = VaultCredential::Token(SecretString::from(active.token()));
    let store = VaultStore::new(config, StoreTimeouts::default()).unwrap();
    store.put(&flash, &SecretString::from(SECRET)).await.unwrap();
    active.process().kill();
    errors.push(store.put(&flash, &SecretString::from(SECRET)).await.unwrap_err());
    errors
}

/// What only a cluster, a broken server or something before it says: the answers are those of the documented API.
async fn of_the_rest() -> Vec<SecretError> {
    let mut errors = Vec::new();
    for (health, answer) in [
        (
            "501 Not Implemented\r\n\r\n{\"initialized\": false}",
            "503 Service Unavailable\r\n\r\n{\"errors\": []}",
        ),
        (STANDBY, "503 Service Unavailable\r\n\r\n{\"errors\": [\"no active Vault instance found\"]}"),
        (ACTIVE, "307 Temporary Redirect\r\nlocation: https://active.invalid/\r\n\r\n"),
        (ACTIVE, "500 Internal Server Error\r\n\r\n{\"errors\": [\"1 error occurred\"]}"),
        ("502 Bad Gateway\r\n\r\n<html>", "502 Bad Gateway\r\n\r\n<html>"),
        (ACTIVE, "429 Too Many Requests\r\n\r\n{\"errors\": [\"rate limit quota exceeded\"]}"),
    ] {
        let server = Scripted::start(health, answer).await;
        errors.push(error(&server.store(), &key("flash_01")).await);
    }
    let raced = "400 Bad Request\r\n\r\n{\"errors\": [\"check-and-set parameter did not match the current version\"]}";
    let server = Scripted::start(ACTIVE, raced).await;
    let put = server.store().put(&key("flash_01"), &SecretString::from(SECRET)).await;
    errors.push(put.unwrap_err());
    errors
}

/// Every trouble that is documented, each once.
pub(crate) async fn all() -> Vec<SecretError> {
    let mut errors = of_the_secret().await;
    errors.extend(of_the_credential().await);
    errors.extend(of_the_server().await);
    errors.extend(of_the_rest().await);
    errors
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn every_documented_error_is_provoked_and_no_other() {
    let mut documented = documented();
    for error in all().await {
        let text = error.to_string();
        let said = documented.iter().position(|(said, _)| text.contains(said));
        let (said, kind) =
            documented.remove(said.unwrap_or_else(|| panic!("no row has this, or it came twice: {text}")));
        assert_eq!(kind, word(error.kind()), "{said}");
        let id = if text.contains("flash_02") { "flash_02" } else { "flash_01" };
        assert!(text.starts_with("vault:") && text.contains(" at http"), "{text}");
        assert!(text.contains("look with: vault kv get ") && text.ends_with(id), "{text}");
        assert_absent(
            &format!("{text} {error:?}"),
            &[SECRET, TOKEN, WRONG_TOKEN, WRONG_ROLE, WRONG_SECRET_ID],
        );
    }
    assert!(documented.is_empty(), "nobody says {documented:?}");
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_denied_read_names_the_line_that_the_policy_lacks() {
    let vault = Vault::new().await;
    vault.put_fields(&key("flash_01"), json!({"value": SECRET})).await;
    vault.allow("[\"read\"]").await;
    let written = vault.store.put(&key("flash_01"), &SecretString::from("AIzaSentinel-2")).await;
    let line =
        "path \"secret/data/algoagent/flash_01\" { capabilities = [\"create\", \"read\", \"update\"] }";
    let text = written.unwrap_err().to_string();
    assert!(text.contains(line) && text.contains("do not allow to write it"), "{text}");
    vault.allow("[\"deny\"]").await;
    let text = error(&vault.store, &key("flash_01")).await.to_string();
    assert!(text.contains("path \"secret/data/algoagent/flash_01\" { capabilities = [\"read\"] }"), "{text}");
}

#[tokio::test]
async fn a_server_that_repeats_our_token_makes_no_error_show_it() {
    for answer in [
        "400 Bad Request\r\n\r\n{\"errors\": [\"bad token x9d03be71a5c4f28d6\"]}",
        "403 Forbidden\r\n\r\n{\"errors\": [\"preflight x9d03be71a5c4f28d6\"]}",
        "404 Not Found\r\n\r\n{\"data\": {\"value\": \"x9d03be71a5c4f28d6\"}, \"warnings\": [\"x9d03be71a5c4f28d6\"]}",
        "500 Internal Server Error\r\n\r\nx9d03be71a5c4f28d6",
        "200 OK\r\n\r\n{\"x9d03be71a5c4f28d6\": 1}",
        "200 OK\r\n\r\nx9d03be71a5c4f28d6",
    ] {
        let server = Scripted::start(ACTIVE, answer).await;
        let error = error(&server.store(), &key("flash_01")).await;
        assert_absent(&format!("{error} {error:?} {error:#?}"), &[TOKEN]);
        assert!(server.asked() > 0);
    }
}

/// A held secret outlives it, as nobody has said anything about the secret.
#[tokio::test]
async fn what_stands_before_the_server_says_nothing_about_the_secret() {
    for (status, answer) in [
        (400, "400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server."),
        (403, "403 Forbidden\r\n\r\n<html>blocked</html>"),
        (404, "404 Not Found\r\n\r\n{\"error\": {\"code\": 404, \"status\": \"NOT_FOUND\"}}"),
        (404, "404 Not Found\r\n\r\n"),
    ] {
        let server = Scripted::start(ACTIVE, answer).await;
        let error = error(&server.store(), &key("flash_01")).await;
        assert_eq!(error.kind(), SecretErrorKind::Unavailable, "{error}");
        let said =
            format!("what answers (HTTP {status}) does not answer as Vault does at {}", server.address);
        assert!(error.to_string().contains(&said), "{error}");
    }
}

#[tokio::test]
async fn a_redirection_is_followed_to_the_same_scheme_only_and_not_for_ever() {
    let circle = Scripted::start(ACTIVE, "307 Temporary Redirect\r\nlocation: /v1/again\r\n\r\n").await;
    let text = error(&circle.store(), &key("flash_01")).await.to_string();
    assert!(text.contains("a redirection elsewhere"), "{text}");
    assert_eq!(circle.asked(), 3);
}
