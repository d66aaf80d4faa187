//! The life of a token: renewed, replaced, and never renewed in vain.

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{Clock, ManualClock, SecretErrorKind, SecretStore};
use keyrot_secrets_vault::VaultCredential;
use keyrot_test_servers::wait_until;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Vault, key};

/// How long something may take that needs no time of its own.
const SOON: Duration = Duration::from_secs(30);

const READ_OWN_TOKEN: &str = "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }\n\
                              path \"auth/token/renew-self\" { capabilities = [\"update\"] }\n\
                              path \"secret/data/algoagent/*\" { capabilities = [\"read\"] }";

/// A server with a secret, and a clock that the token's life follows.
async fn vault() -> (Vault, ManualClock) {
    let mut vault = Vault::new().await;
    let clock = ManualClock::default();
    vault.put_fields(&key("flash_01"), json!({"value": "AIza-1"})).await;
    vault.root(Method::PUT, "sys/policies/acl/keyrot", json!({"policy": READ_OWN_TOKEN})).await;
    vault.use_clock(Arc::new(clock.clone()));
    (vault, clock)
}

async fn read(vault: &Vault) -> String {
    vault.store.fetch(&key("flash_01")).await.unwrap().expose_secret().to_owned()
}

fn asked(vault: &Vault, path: &str) -> usize {
    vault.server.lock().unwrap().requests("", path)
}

/// Moves the clock to the next thing that the keeper waits for, once it does.
async fn pass_the_rest(clock: &ManualClock) {
    wait_until("the keeper to rest", SOON, async || clock.advance_to_next_sleeper()).await;
}

async fn has_asked(vault: &Vault, path: &str, times: usize) {
    wait_until(path, SOON, async || asked(vault, path) >= times).await;
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_given_token_is_renewed_each_time_two_thirds_are_over() {
    let (vault, clock) = vault().await;
    assert_eq!(read(&vault).await, "AIza-1");
    for renewals in 1..=3 {
        let before = clock.now();
        pass_the_rest(&clock).await;
        let rested = clock.now() - before;
        assert!(rested > Duration::from_secs(390) && rested <= Duration::from_secs(400), "{rested:?}");
        has_asked(&vault, "auth/token/renew-self", renewals).await;
    }
    assert_eq!(asked(&vault, "auth/token/renew-self"), 3);
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_role_whose_token_cannot_be_renewed_logs_in_again() {
    let (mut vault, clock) = vault().await;
    vault.log_in_by_role(json!({"token_type": "batch", "token_ttl": "1h"})).await;
    vault.use_clock(Arc::new(clock.clone()));
    assert_eq!(read(&vault).await, "AIza-1");
    assert_eq!(asked(&vault, "auth/approle/login"), 1);
    pass_the_rest(&clock).await;
    has_asked(&vault, "auth/approle/login", 2).await;
    pass_the_rest(&clock).await;
    has_asked(&vault, "auth/approle/login", 3).await;
    assert_eq!(asked(&vault, "auth/token/renew-self"), 0);
    assert_eq!(read(&vault).await, "AIza-1");
    assert_eq!(asked(&vault, "auth/approle/login"), 3, "the last token is in use");
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_role_whose_token_nears_its_longest_life_logs_in_again() {
    let (mut vault, _) = vault().await;
    vault.log_in_by_role(json!({"token_ttl": "3s", "token_explicit_max_ttl": "4s"})).await;
    assert_eq!(read(&vault).await, "AIza-1");
    has_asked(&vault, "auth/approle/login", 2).await;
    assert!(asked(&vault, "auth/token/renew-self") > 0, "it was renewed as long as that gave time");
    assert_eq!(read(&vault).await, "AIza-1");
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_role_whose_token_was_revoked_logs_in_again_in_the_middle_of_a_read() {
    let (mut vault, clock) = vault().await;
    vault.log_in_by_role(json!({"token_ttl": "1h"})).await;
    vault.use_clock(Arc::new(clock));
    assert_eq!(read(&vault).await, "AIza-1");
    vault.root(Method::PUT, "sys/leases/revoke-prefix/auth/approle/login", json!({"sync": true})).await;
    assert_eq!(read(&vault).await, "AIza-1");
    assert_eq!(asked(&vault, "auth/approle/login"), 2);
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn many_reads_at_once_are_one_login_and_one_question_for_the_mount() {
    let (mut vault, _) = vault().await;
    vault.log_in_by_role(json!({"token_ttl": "1h"})).await;
    let keys: Vec<_> = (0..20).map(|_| key("flash_01")).collect();
    assert!(vault.store.fetch_all(&keys).await.into_iter().all(|read| read.is_ok()));
    assert_eq!((asked(&vault, "auth/approle/login"), asked(&vault, "sys/internal/ui/mounts/")), (1, 1));
    // A denied read asks whether the token is known; it does not log in again.
    vault.allow("[\"deny\"]").await;
    assert!(vault.store.fetch_all(&keys).await.into_iter().all(|read| read.is_err()));
    assert_eq!(asked(&vault, "auth/approle/login"), 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_token_file_is_read_anew_with_each_read() {
    let (vault, _) = vault().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let store = vault.store_with(|config| config.credential = VaultCredential::TokenFile(file.clone()));
    let error = store.fetch(&key("flash_01")).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated, "{error}");
    for content in ["", "\n", "two words"] {
        std::fs::write(&file, content).unwrap();
        let error = store.fetch(&key("flash_01")).await.unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Unauthenticated, "{content:?}: {error}");
    }
    let token = async || {
        let created = vault.root(Method::POST, "auth/token/create", json!({"policies": ["keyrot"]})).await;
        created["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let first = token().await;
    std::fs::write(&file, format!("{first}\n")).unwrap();
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), "AIza-1");
    vault.root(Method::POST, "auth/token/revoke", json!({"token": first})).await;
    std::fs::write(&file, token().await).unwrap();
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), "AIza-1");
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_root_token_is_left_alone_and_a_dropped_store_leaves_nobody_behind() {
    let (vault, clock) = vault().await;
    let root = vault.server(async |server| server.token().to_owned());
    let rooted = vault.store_with(|config| config.credential = VaultCredential::Token(root.into()));
    rooted.fetch(&key("flash_01")).await.unwrap();
    has_asked(&vault, "auth/token/lookup-self", 1).await;
    read(&vault).await;
    wait_until("the keeper to rest", SOON, async || asked(&vault, "auth/token/lookup-self") == 2).await;
    drop((rooted, vault));
    wait_until("the keeper to end", SOON, async || !clock.advance_to_next_sleeper()).await;
}
