//! Cases of the suite of secret stores: each trouble has its own kind and says what to do.

use std::time::Duration;

use keyrot_core::{KeyMetadata, SecretErrorKind, StoreTimeouts};

use crate::secret_store::{SENTINEL, SecretHarness, Trouble, fetched, key, refused};

/// What a read gives in this trouble, with a bound that shows a hang without a wait of minutes.
async fn in_trouble(harness: &impl SecretHarness, trouble: Trouble, key: &KeyMetadata) -> SecretErrorKind {
    harness.put(key, SENTINEL).await;
    assert_eq!(fetched(harness, key).await, SENTINEL, "before the trouble");
    harness.cause(trouble, key).await;
    let bound = StoreTimeouts::default().total + Duration::from_secs(1);
    let refused = tokio::time::timeout(bound, refused(harness, key)).await;
    refused.unwrap_or_else(|_| panic!("{trouble:?}: no answer within {bound:?}"))
}

/// Switched off is not missing: other things have to be done.
pub async fn a_disabled_secret_is_told(harness: impl SecretHarness) {
    let kind = in_trouble(&harness, Trouble::Disabled, &key("flash_01")).await;
    assert_eq!(kind, SecretErrorKind::Disabled);
}

/// A secret of another shape is not taken for a key.
pub async fn a_wrong_shape_is_told(harness: impl SecretHarness) {
    let kind = in_trouble(&harness, Trouble::WrongShape, &key("flash_01")).await;
    assert_eq!(kind, SecretErrorKind::WrongShape);
}

/// The store knows us and says no.
pub async fn no_permission_is_denied(harness: impl SecretHarness) {
    let kind = in_trouble(&harness, Trouble::NoPermission, &key("flash_01")).await;
    assert_eq!(kind, SecretErrorKind::Denied);
}

/// The store does not know us: nothing is said about the secret.
pub async fn wrong_credentials_are_told(harness: impl SecretHarness) {
    let kind = in_trouble(&harness, Trouble::WrongCredentials, &key("flash_01")).await;
    assert_eq!(kind, SecretErrorKind::Unauthenticated);
}

/// Too many reads: told as that, and no reason to stop for good.
pub async fn a_throttled_read_is_told_and_goes_on_later(harness: impl SecretHarness) {
    let key = key("flash_01");
    assert_eq!(in_trouble(&harness, Trouble::Throttled, &key).await, SecretErrorKind::Throttled);
    harness.end(Trouble::Throttled, &key).await;
    assert_eq!(fetched(&harness, &key).await, SENTINEL);
}

/// A server that has ended, and one that was started again.
pub async fn a_server_that_is_gone_is_unreachable(harness: impl SecretHarness) {
    let key = key("flash_01");
    assert_eq!(in_trouble(&harness, Trouble::Gone, &key).await, SecretErrorKind::Unreachable);
    harness.end(Trouble::Gone, &key).await;
    assert_eq!(fetched(&harness, &key).await, SENTINEL);
}

/// A server that hangs is not waited for beyond the time for a read; when it goes on, so does the store.
pub async fn a_frozen_server_is_given_up_in_time(harness: impl SecretHarness) {
    let key = key("flash_01");
    assert_eq!(in_trouble(&harness, Trouble::Frozen, &key).await, SecretErrorKind::TimedOut);
    harness.end(Trouble::Frozen, &key).await;
    assert_eq!(fetched(&harness, &key).await, SENTINEL);
}
