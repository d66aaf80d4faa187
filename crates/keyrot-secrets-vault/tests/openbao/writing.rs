//! Writes leave alone what is not theirs.

use std::time::Duration;

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{SecretStore, SecretWriter};
use keyrot_secrets_vault::KvVersion;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Login, Vault, key};

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn the_other_fields_of_a_secret_are_kept() {
    for version in [KvVersion::V1, KvVersion::V2] {
        let vault = Vault::with(version, Login::Token, false).await;
        let flash = key("flash_01");
        vault.put_fields(&flash, json!({"value": "AIza-1", "owner": "me"})).await;
        vault.store.put(&flash, &SecretString::from("AIza-2")).await.unwrap();
        let kept = vault.root(Method::GET, &vault.wire(&flash), json!({})).await;
        let fields = if version == KvVersion::V1 { &kept["data"] } else { &kept["data"]["data"] };
        assert_eq!(*fields, json!({"value": "AIza-2", "owner": "me"}));
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_deleted_secret_is_written_anew_also_where_the_version_must_be_named() {
    let vault = Vault::new().await;
    let flash = key("flash_01");
    vault.root(Method::POST, "secret/config", json!({"cas_required": true})).await;
    for secret in ["AIza-1", "AIza-2"] {
        vault.store.put(&flash, &SecretString::from(secret)).await.unwrap();
        assert_eq!(vault.store.fetch(&flash).await.unwrap().expose_secret(), secret);
    }
    vault.root(Method::DELETE, &vault.wire(&flash), json!({})).await;
    vault.store.put(&flash, &SecretString::from("AIza-3")).await.unwrap();
    assert_eq!(vault.store.fetch(&flash).await.unwrap().expose_secret(), "AIza-3");
}

/// Every writer read the same version; the server takes one of them.
#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn of_writers_at_the_same_moment_none_overwrites_what_it_has_not_seen() {
    let vault = Vault::new().await;
    let flash = key("flash_01");
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (store, flash) = (vault.store.clone(), flash.clone());
        writers.spawn(async move { store.put(&flash, &SecretString::from(format!("AIza-{number}"))).await });
    }
    let written = tokio::time::timeout(Duration::from_secs(30), writers.join_all()).await.unwrap();
    let good = written.iter().filter(|written| written.is_ok()).count();
    let versions = vault.root(Method::GET, &vault.wire(&flash), json!({})).await;
    assert_eq!(versions["data"]["metadata"]["version"], good, "{written:?}");
    let refused = written.into_iter().filter_map(Result::err);
    for error in refused {
        assert!(error.to_string().contains("somebody else wrote"), "{error}");
    }
}
