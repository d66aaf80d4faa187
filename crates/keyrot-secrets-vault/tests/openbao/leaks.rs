//! Sentinels are driven through every path of the store while everything is logged at the finest level.

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{SecretStore, SecretWriter};
use keyrot_secrets_vault::KvVersion;
use keyrot_testkit::Captured;
use keyrot_testkit::leak::assert_absent;
use reqwest::Method;
use serde_json::json;

use crate::errors;
use crate::harness::{self, Login, Vault, key};
use crate::scripted;

/// What a path logs must be looked at beside what it gives: the secrets that were in play.
const SENTINELS: [&str; 6] = [
    errors::SECRET,
    errors::WRONG_TOKEN,
    errors::WRONG_ROLE,
    errors::WRONG_SECRET_ID,
    harness::TOKEN,
    scripted::TOKEN,
];

/// Reads, writes, a login, a renewal and a new login.
async fn successes() -> Vec<String> {
    let mut credentials = Vec::new();
    for version in [KvVersion::V1, KvVersion::V2] {
        let mut vault = Vault::with(version, Login::Token, false).await;
        vault.store.put(&key("flash_01"), &SecretString::from(errors::SECRET)).await.unwrap();
        assert_eq!(vault.store.fetch(&key("flash_01")).await.unwrap().expose_secret(), errors::SECRET);
        vault.store.written_at(&key("flash_01")).await.unwrap();
        vault.log_in_by_role(json!({"token_ttl": "2s", "token_explicit_max_ttl": "3s"})).await;
        vault.store.fetch(&key("flash_01")).await.unwrap();
        vault.root(Method::PUT, "sys/leases/revoke-prefix/auth/approle/login", json!({"sync": true})).await;
        vault.store.fetch(&key("flash_01")).await.unwrap();
        credentials.extend(keyrot_testkit::secret_store::SecretHarness::credentials(&vault));
    }
    credentials
}

/// Tokens that a server makes: `s.` or `b.` and letters and digits, or the longer names of newer ones.
fn holds_a_token(text: &str) -> bool {
    ["s.", "b."].iter().any(|kind| {
        text.match_indices(kind).any(|(at, _)| {
            text[at + kind.len()..].chars().take_while(char::is_ascii_alphanumeric).count() >= 24
        })
    })
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn no_path_logs_a_secret_or_a_credential() {
    let log = Captured::begin();
    let credentials = successes().await;
    let mut shown = String::new();
    for error in errors::all().await {
        shown += &format!("{error} {error:?} {error:#?}\n");
    }
    shown += &log.text();
    for target in ["vaultrs", "rustify", "hyper", "reqwest", "keyrot_secrets_vault"] {
        assert!(shown.contains(target), "nothing of {target} was captured");
    }
    assert_absent(&shown, &SENTINELS);
    assert_absent(&shown, &credentials.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!holds_a_token(&shown), "a token of the server is in the log");
    assert!(holds_a_token("token=s.abcdefghijklmnopqrstuvwx"), "the search finds what it is for");
}
