//! What AWS may answer instead of a secret.

use std::time::Duration;

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{SecretErrorKind, SecretStore, SecretWriter, StoreTimeouts, Vars};
use keyrot_secrets_aws::{AwsConfig, AwsStore};
use keyrot_test_servers::moto::CREDENTIALS;
use keyrot_test_servers::{Microburst, Moto, free_port};
use serde_json::json;

use crate::api::{SECRET, key, store, write};

async fn with_a_secret() -> (Moto, Microburst) {
    let moto = Moto::start().await;
    write(moto.url(), "algoagent/flash_01", SECRET).await;
    let proxy = Microburst::before(&moto).await;
    (moto, proxy)
}

async fn fail(proxy: &Microburst, operation: &str, code: &str, more: serde_json::Value) {
    let error = json!({"code": code, "message": "said by the server"});
    let mut rule = json!({"service": "secretsmanager", "operation": operation, "error": error});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    proxy.add_rule(&rule).await;
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn throttling_and_troubles_that_pass_are_waited_out() {
    let (_moto, proxy) = with_a_secret().await;
    let store = store(proxy.url(), &[]);
    for code in ["ThrottlingException", "InternalServiceError"] {
        fail(&proxy, "GetSecretValue", code, json!({"times": 2})).await;
        assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), SECRET);
    }
    assert_eq!(proxy.fired().await.len(), 4);
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn a_connection_that_breaks_is_made_again() {
    let (_moto, proxy) = with_a_secret().await;
    proxy
        .add_rule(
            &json!({"service": "secretsmanager", "operation": "GetSecretValue", "reset": true, "times": 1}),
        )
        .await;
    assert_eq!(store(proxy.url(), &[]).fetch(&key("flash_01")).await.unwrap().expose_secret(), SECRET);
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn an_answer_that_comes_too_late_is_not_waited_for() {
    let (_moto, proxy) = with_a_secret().await;
    proxy.add_rule(&json!({"service": "secretsmanager", "latency": 60_000})).await;
    let vars: Vars = CREDENTIALS.into_iter().chain([("AWS_ENDPOINT_URL", proxy.url())]).collect();
    let total = Duration::from_millis(300);
    let timeouts = StoreTimeouts { connect: total, total };
    let store = AwsStore::new(AwsConfig::from_vars(&vars).unwrap(), timeouts).unwrap();
    let key = key("flash_01");
    let error = tokio::time::timeout(Duration::from_secs(5), store.fetch(&key))
        .await
        .expect("given up in time")
        .unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::TimedOut);
    assert!(error.to_string().contains("no answer within 300ms (asked http://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let (store, key) = (store(&url, &[]), key("flash_01"));
    // shorter than any number of pauses between tries
    let error = tokio::time::timeout(Duration::from_secs(1), store.fetch(&key))
        .await
        .expect("told at once")
        .unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("no connection: Connection refused"), "{text}");
    assert!(
        text.contains(&format!("(asked {url}, region us-east-1); check the network, AWS_REGION")),
        "{text}"
    );
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn a_write_says_which_permission_is_missing() {
    let (moto, proxy) = with_a_secret().await;
    let store = store(proxy.url(), &[]);
    let new = SecretString::from("AIzaNew");
    for (operation, id, action) in [
        ("GetSecretValue", "flash_01", "secretsmanager:GetSecretValue"),
        ("PutSecretValue", "flash_01", "secretsmanager:PutSecretValue"),
        ("CreateSecret", "flash_02", "secretsmanager:CreateSecret"),
    ] {
        proxy.clear().await;
        fail(&proxy, operation, "AccessDeniedException", json!({})).await;
        let error = store.put(&key(id), &new).await.unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Denied, "{operation}: {error}");
        assert!(error.to_string().contains(&format!("no permission for {action}")), "{error}");
    }
    let untouched = crate::api::store(moto.url(), &[]).fetch(&key("flash_01")).await.unwrap();
    assert_eq!(untouched.expose_secret(), SECRET);
}
