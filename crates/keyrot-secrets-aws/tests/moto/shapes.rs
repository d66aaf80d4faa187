//! What a secret may look like, and what a write makes of it.

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{SecretErrorKind, SecretStore, SecretWriter};
use keyrot_test_servers::Moto;
use serde_json::{Value, json};

use crate::api::{SECRET, ask, key, store, write};

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn bytes_are_read_as_text() {
    let moto = Moto::start().await;
    // AIzaBinary, and bytes that are no text
    for (name, bytes) in [("text", "QUl6YUJpbmFyeQo="), ("none", "//79")] {
        let body = json!({"Name": format!("algoagent/{name}"), "SecretBinary": bytes});
        let created = ask(moto.url(), "CreateSecret", body).await;
        assert!(created.contains("VersionId"), "{created}");
    }
    let store = store(moto.url(), &[]);
    assert_eq!(store.fetch(&key("text")).await.unwrap().expose_secret(), "AIzaBinary");
    assert_eq!(store.fetch(&key("none")).await.unwrap_err().kind(), SecretErrorKind::WrongShape);
    let both = store.fetch_all(&[key("text"), key("none")]).await;
    assert_eq!(both[0].as_ref().unwrap().expose_secret(), "AIzaBinary");
    assert_eq!(both[1].as_ref().unwrap_err().kind(), SecretErrorKind::WrongShape);
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn the_version_that_counts_is_the_current_one() {
    let moto = Moto::start().await;
    write(moto.url(), "algoagent/flash_01", "old").await;
    write(moto.url(), "algoagent/flash_01", SECRET).await;
    let pending =
        json!({"SecretId": "algoagent/flash_01", "SecretString": "next", "VersionStages": ["AWSPENDING"]});
    let put = ask(moto.url(), "PutSecretValue", pending).await;
    assert!(put.contains("AWSPENDING"), "{put}");
    let store = store(moto.url(), &[]);
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), SECRET);
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn a_configured_field_and_prefix_count() {
    let moto = Moto::start().await;
    write(moto.url(), "team/keys-flash_01", r#"{"value": "other", "gemini": "AIzaField"}"#).await;
    let variables = [("AWS_SECRET_FIELD", "gemini"), ("AWS_SECRET_PREFIX", "team/keys-")];
    let store = store(moto.url(), &variables);
    assert_eq!(store.locator(&key("flash_01")), "aws:team/keys-flash_01");
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), "AIzaField");
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn a_write_leaves_the_other_fields_alone() {
    let moto = Moto::start().await;
    write(moto.url(), "algoagent/flash_01", r#"{"api_key": "old", "owner": "me"}"#).await;
    let store = store(moto.url(), &[]);
    store.put(&key("flash_01"), &SecretString::from(SECRET)).await.unwrap();
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), SECRET);
    let stored = ask(moto.url(), "GetSecretValue", json!({"SecretId": "algoagent/flash_01"})).await;
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let fields: Value = serde_json::from_str(stored["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!(fields, json!({"api_key": SECRET, "owner": "me"}));
}

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn an_arn_that_leads_nowhere_is_not_made_into_a_secret() {
    let moto = Moto::start().await;
    let mut lost = key("flash_01");
    lost.secret = Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:none-AbCdEf".to_owned());
    let error = store(moto.url(), &[]).put(&lost, &SecretString::from(SECRET)).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::NotFound);
    assert!(error.to_string().contains("check the ARN"), "{error}");
    let listed = ask(moto.url(), "ListSecrets", json!({})).await;
    assert!(listed.contains("\"SecretList\": []"), "{listed}");
}
