//! What the vault refuses: how often it is asked again, and what is said.

use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{SecretErrorKind, SecretStore, SecretWriter, StoreTimeouts};
use keyrot_secrets_azure::AzureStore;
use keyrot_test_servers::azure::{Answer, Trouble};
use keyrot_test_servers::wait_until;

use crate::place::{Place, fetch, key};

async fn answer(place: &Place, answer: Answer) {
    place.azure.trouble(&Trouble { answer: Some(answer), ..Trouble::default() }).await;
}

fn broken_down() -> Answer {
    Answer { status: 503, code: "InternalServerError".to_owned(), inner: None, retry_after: None }
}

#[tokio::test]
async fn a_vault_that_breaks_down_is_asked_three_times() {
    let place = Place::new().await;
    answer(&place, broken_down()).await;
    let error = fetch(&place.store(place.client_secret()), "a").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unavailable);
    assert!(error.to_string().contains("cannot serve (HTTP 503, InternalServerError)"), "{error}");
    assert_eq!(place.azure.counts().await.reads, 3);
}

#[tokio::test]
async fn a_refusal_that_asking_again_does_not_change_is_not_repeated() {
    let place = Place::new().await;
    let store = place.store(place.client_secret());
    fetch(&store, "a").await.unwrap_err();
    assert_eq!(place.azure.counts().await.reads, 1);
    for (number, code) in ["ForbiddenByRbac", "ForbiddenByFirewall"].into_iter().enumerate() {
        answer(&place, Answer::forbidden(code)).await;
        fetch(&store, "a").await.unwrap_err();
        assert_eq!(place.azure.counts().await.reads, number + 2, "{code}");
    }
}

#[tokio::test]
async fn a_throttled_read_waits_as_long_as_the_vault_says() {
    let place = Place::new().await;
    place.azure.put("a", "sk-1").await;
    answer(&place, Answer::throttled(1)).await;
    let store = place.store(place.client_secret());
    let read = tokio::spawn(async move { fetch(&store, "a").await });
    wait_until("the first try", Duration::from_secs(60), async || place.azure.counts().await.reads == 1)
        .await;
    place.azure.trouble(&Trouble::default()).await;
    assert_eq!(read.await.unwrap().unwrap(), "sk-1");
    assert_eq!(place.azure.counts().await.reads, 2);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let place = Place::new().await;
    answer(&place, Answer::throttled(30)).await;
    let timeouts = StoreTimeouts { total: Duration::from_secs(20), ..StoreTimeouts::default() };
    let config = place.config(place.client_secret());
    let store = AzureStore::with_http(config, timeouts, place.azure.client()).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), fetch(&store, "a")).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Throttled);
    assert_eq!(place.azure.counts().await.reads, 1);
}

/// A held secret outlives it: nothing is wrong with the secret.
#[tokio::test]
async fn a_vault_whose_firewall_keeps_us_out_says_nothing_about_the_secret() {
    let place = Place::new().await;
    answer(&place, Answer::forbidden("ForbiddenByFirewall")).await;
    let error = fetch(&place.store(place.client_secret()), "a").await.unwrap_err();
    assert!(!error.kind().ends_the_secret(), "{error}");
    assert!(
        error.to_string().contains("ForbiddenByFirewall") && error.to_string().contains("network-rule"),
        "{error}"
    );
}

#[tokio::test]
async fn a_frozen_vault_is_named_with_the_time_that_was_waited() {
    let place = Place::new().await;
    place.azure.freeze().await;
    let timeouts = StoreTimeouts { total: Duration::from_millis(300), ..StoreTimeouts::default() };
    let config = place.config(place.client_secret());
    let store = AzureStore::with_http(config, timeouts, place.azure.client()).unwrap();
    let error = fetch(&store, "a").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::TimedOut);
    let text = format!("no answer from {} within 300ms, login included", place.azure.named_url());
    assert!(error.to_string().contains(&text), "{error}");
}

#[tokio::test]
async fn a_write_needs_another_role_than_a_read() {
    let place = Place::new().await;
    answer(&place, Answer::forbidden("ForbiddenByRbac")).await;
    let store = place.store(place.client_secret());
    let secret = SecretString::from("AIzaNew");
    let error = store.put(&key("a"), &secret).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Denied);
    assert!(error.to_string().contains("\"Key Vault Secrets Officer\""), "{error}");
    let error = store.fetch(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("\"Key Vault Secrets User\""), "{error}");
}
