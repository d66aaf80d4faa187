//! Nothing that is said or logged on the way to any error shows a secret, or what a store logs in with.

use std::error::Error;

use keyrot_core::{SecretStore, SecretWriter};
use keyrot_testkit::Captured;
use keyrot_testkit::leak::assert_absent;

use crate::errors::{CREDENTIALS, SENTINEL, provoked};
use crate::place::{Place, fetch, key};

fn secrets() -> Vec<&'static str> {
    CREDENTIALS.into_iter().chain([SENTINEL]).collect()
}

#[tokio::test]
async fn no_error_and_no_log_shows_a_secret() {
    let log = Captured::begin();
    for error in provoked().await {
        assert_absent(&format!("{error} {error:?} {error:#?}"), &secrets());
        assert!(error.source().is_none(), "what a client says may hold a reply: {error:?}");
    }
    let text = log.text();
    assert!(text.contains("TRACE") && text.contains("/secrets/flash-01"), "the log was not captured: {text}");
    assert_absent(&text, &secrets());
}

#[tokio::test]
async fn no_read_and_no_write_shows_a_secret() {
    let log = Captured::begin();
    let place = Place::new().await;
    for credential in [place.client_secret(), place.workload_identity(), place.managed_identity(None)] {
        let store = place.store(credential);
        store.put(&key("flash_01"), &SENTINEL.into()).await.unwrap();
        assert_eq!(fetch(&store, "flash_01").await.unwrap(), SENTINEL);
        store.written_at(&key("flash_01")).await.unwrap();
        assert_absent(&format!("{store:?} {store:#?}"), &secrets());
    }
    assert_absent(&log.text(), &secrets());
}
