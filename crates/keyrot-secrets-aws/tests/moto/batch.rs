//! Many secrets in few calls.

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{KeyMetadata, SecretErrorKind, SecretStore};
use keyrot_test_servers::{Microburst, Moto};
use serde_json::json;

use crate::api::{ask, key, store, write};

async fn fifty(url: &str) -> Vec<KeyMetadata> {
    let keys: Vec<KeyMetadata> = (0..50).map(|number| key(&format!("flash_{number:02}"))).collect();
    for key in &keys {
        write(url, &format!("algoagent/{}", key.key_id), &format!("sk-{}", key.key_id)).await;
    }
    keys
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn fifty_keys_are_three_calls() {
    let moto = Moto::start().await;
    let keys = fifty(moto.url()).await;
    let before = moto.requests();
    let secrets = store(moto.url(), &[]).fetch_all(&keys).await;
    assert_eq!(moto.requests() - before, 3);
    for (key, secret) in keys.iter().zip(secrets) {
        assert_eq!(secret.unwrap().expose_secret(), format!("sk-{}", key.key_id));
    }
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn where_the_call_for_many_is_not_allowed_each_is_read_alone() {
    let moto = Moto::start().await;
    let keys = fifty(moto.url()).await;
    let proxy = Microburst::before(&moto).await;
    let denied = json!({"code": "AccessDeniedException", "message": "not BatchGetSecretValue"});
    let batch = json!({"service": "secretsmanager", "operation": "BatchGetSecretValue", "error": denied});
    proxy.add_rule(&batch).await;
    let secrets = store(proxy.url(), &[]).fetch_all(&keys).await;
    for (key, secret) in keys.iter().zip(secrets) {
        assert_eq!(secret.unwrap().expose_secret(), format!("sk-{}", key.key_id));
    }
    assert_eq!(proxy.fired().await.len(), 3);
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn a_throttled_call_for_many_does_not_become_many_calls() {
    let moto = Moto::start().await;
    let keys = fifty(moto.url()).await;
    let proxy = Microburst::before(&moto).await;
    let slow = json!({"code": "ThrottlingException", "message": "Rate exceeded"});
    proxy
        .add_rule(&json!({"service": "secretsmanager", "operation": "BatchGetSecretValue", "error": slow}))
        .await;
    let store = store(proxy.url(), &[]);
    for (key, secret) in keys.iter().zip(store.fetch_all(&keys).await) {
        let error = secret.unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Throttled);
        assert_eq!(error.locator(), store.locator(key));
    }
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn names_arns_shared_bad_and_flawed_ones_come_each_in_its_place() {
    let moto = Moto::start().await;
    for (id, text) in [("algoagent/a", "sk-a"), ("team/b", r#"{"api_key": "sk-b"}"#), ("team/c", "{}")] {
        write(moto.url(), id, text).await;
    }
    let described = ask(moto.url(), "DescribeSecret", json!({"SecretId": "team/b"})).await;
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let arn = described["ARN"].as_str().unwrap();
    let mut keys = ["a", "b", "b2", "by_arn", "c", "none", "bad"].map(key);
    for (number, name) in [(1, "team/b"), (2, "team/b"), (3, arn), (4, "team/c"), (6, "a b")] {
        keys[number].secret = Some(name.to_owned());
    }
    let before = moto.requests();
    let store = store(moto.url(), &[]);
    let found: Vec<_> = store
        .fetch_all(&keys)
        .await
        .into_iter()
        .map(|secret| secret.map(|secret| secret.expose_secret().to_owned()).map_err(|error| error.kind()))
        .collect();
    let sk_b = || Ok("sk-b".to_owned());
    assert_eq!(
        found,
        [
            Ok("sk-a".to_owned()),
            sk_b(),
            sk_b(),
            sk_b(),
            Err(SecretErrorKind::WrongShape),
            Err(SecretErrorKind::NotFound),
            Err(SecretErrorKind::BadName),
        ]
    );
    assert_eq!(moto.requests() - before, 1);
    assert_eq!(store.fetch(&keys[3]).await.unwrap().expose_secret(), "sk-b", "an ARN alone");
}
