//! Where secrets are: mounts of any depth, stated versions, namespaces, fields.

use keyrot_core::SecretStore;
use keyrot_core::secrecy::ExposeSecret;
use keyrot_secrets_vault::{KvVersion, VaultStore};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Vault, key};

async fn read(store: &VaultStore) -> String {
    store.fetch(&key("flash_01")).await.unwrap().expose_secret().to_owned()
}

async fn allow_everything(vault: &Vault) {
    let policy = json!({"policy": "path \"*\" { capabilities = [\"read\", \"create\", \"update\"] }"});
    vault.root(Method::PUT, "sys/policies/acl/keyrot", policy).await;
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_mount_of_several_parts_is_found_by_asking() {
    let vault = Vault::new().await;
    allow_everything(&vault).await;
    for (path, version) in [("team/one", "1"), ("team/two", "2")] {
        let mount = json!({"type": "kv", "options": {"version": version}});
        vault.root(Method::POST, &format!("sys/mounts/{path}"), mount).await;
    }
    vault.root(Method::POST, "team/one/algoagent/flash_01", json!({"value": "one"})).await;
    vault.root(Method::POST, "team/two/data/flash_01", json!({"data": {"value": "two"}})).await;
    let at = |path: &str| vault.store_with(|config| config.secret_path = path.to_owned());
    assert_eq!(read(&at("team/one/algoagent")).await, "one");
    assert_eq!(read(&at("/team/two/")).await, "two");
    let mut elsewhere = key("flash_01");
    elsewhere.secret = Some("team/one/algoagent/flash_01".to_owned());
    let secret = at("team/two").fetch(&elsewhere).await.unwrap();
    assert_eq!(secret.expose_secret(), "one", "a path in keys.json stands for itself");
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_stated_version_is_not_asked_for() {
    let vault = Vault::new().await;
    vault.put_fields(&key("flash_01"), json!({"value": "AIza-1"})).await;
    let store = vault.store_with(|config| config.kv_version = Some(KvVersion::V2));
    assert_eq!(read(&store).await, "AIza-1");
    assert_eq!(vault.server.lock().unwrap().requests("", "sys/internal/"), 0);
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn the_field_and_the_namespace_are_those_that_are_configured() {
    let vault = Vault::new().await;
    vault.put_fields(&key("flash_01"), json!({"value": "AIza-1", "api_key": "AIza-2"})).await;
    assert_eq!(read(&vault.store_with(|config| config.field = "api_key".to_owned())).await, "AIza-2");
    let root = vault.server(async |server| {
        server.namespace("team1").await;
        let put = ["kv", "put", "secret/algoagent/flash_01", "value=AIza-3"];
        server.bao_with(put, &[("VAULT_NAMESPACE", "team1")], "").await.success();
        server.token().to_owned()
    });
    let store = vault.store_with(|config| {
        config.namespace = Some("team1".to_owned());
        config.credential = keyrot_secrets_vault::VaultCredential::Token(root.into());
    });
    assert_eq!(read(&store).await, "AIza-3");
    let error = store.fetch(&key("flash_02")).await.unwrap_err().to_string();
    assert!(error.contains("(namespace team1)"), "{error}");
}
