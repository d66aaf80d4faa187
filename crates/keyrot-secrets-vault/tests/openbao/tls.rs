//! Who is trusted.

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{SecretErrorKind, SecretStore, StoreTimeouts, Vars};
use keyrot_secrets_vault::{KvVersion, VaultConfig, VaultStore};
use keyrot_test_servers::Certificates;
use serde_json::json;

use crate::harness::{Login, Vault, key};

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn only_the_named_authority_is_trusted_unless_verification_is_switched_off() {
    let vault = Vault::with(KvVersion::V2, Login::Token, true).await;
    let flash = key("flash_01");
    vault.put_fields(&flash, json!({"value": "AIza-1"})).await;
    assert_eq!(vault.store.fetch(&flash).await.unwrap().expose_secret(), "AIza-1");
    let others = Certificates::make();
    for ca_file in [None, Some(others.ca())] {
        let error = vault.store_with(|config| config.ca_file = ca_file).fetch(&flash).await.unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Unreachable, "{error}");
        assert!(
            error.to_string().contains("name the file of its authority's certificate by VAULT_CACERT"),
            "{error}"
        );
    }
    let blind = vault.store_with(|config| {
        config.ca_file = None;
        config.skip_verify = true;
    });
    assert_eq!(blind.fetch(&flash).await.unwrap().expose_secret(), "AIza-1");
}

#[tokio::test]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn the_wrong_scheme_is_told() {
    let tls = Vault::with(KvVersion::V2, Login::Token, true).await;
    let plain = tls.store_with(|config| config.address = config.address.replace("https:", "http:"));
    let error = plain.fetch(&key("flash_01")).await.unwrap_err().to_string();
    assert!(
        error.contains("(HTTP 400) does not answer as Vault does") && error.contains("https in it"),
        "{error}"
    );
    let plain = Vault::new().await;
    let tls = plain.store_with(|config| config.address = config.address.replace("http:", "https:"));
    let error = tls.fetch(&key("flash_01")).await.unwrap_err().to_string();
    assert!(error.contains("then VAULT_ADDR begins with http://"), "{error}");
}

#[test]
fn a_file_that_holds_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for (file, said) in [(empty, "holds no certificate"), (folder.path().join("missing.pem"), "cannot read")]
    {
        let file = file.to_str().unwrap();
        let vars = [("VAULT_ADDR", "https://vault.invalid"), ("VAULT_TOKEN", "t"), ("VAULT_CACERT", file)];
        let config = VaultConfig::from_vars(&Vars::from_iter(vars)).unwrap();
        let error = VaultStore::new(config, StoreTimeouts::default()).unwrap_err().to_string();
        assert!(error.starts_with("VAULT_CACERT") && error.contains(said), "{error}");
    }
}
