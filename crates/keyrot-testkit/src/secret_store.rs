//! The suite of secret stores: one named test per rule.

use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{KeyId, KeyMetadata, SecretErrorKind, SecretStore};
use tokio::task::JoinSet;

use crate::leak::assert_absent;

/// A store under test, and how a user of it would put secrets there.
#[async_trait]
pub trait SecretHarness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn SecretStore>;

    /// Puts or replaces the secret of a key, exactly as it is given.
    async fn put(&self, key: &KeyMetadata, secret: &str);

    /// A value that holds nothing; a store that cannot hold an empty text says `" "`.
    fn nothing(&self) -> &'static str {
        ""
    }
}

const SENTINEL: &str = "AIzaSentinel-7d1f0c52e98b4a63";
const SECOND: &str = "AQ.Another-c4b8e2f6a90d7135";

fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).expect("a key id of the suite"), "gemini-2.5-flash")
}

async fn fetched(harness: &impl SecretHarness, key: &KeyMetadata) -> String {
    match harness.store().fetch(key).await {
        Ok(secret) => secret.expose_secret().to_owned(),
        Err(error) => panic!("the secret of {} cannot be fetched: {error}", key.key_id),
    }
}

/// The kind of the error, after a look at its texts: they name the place and hold no secret.
async fn refused(harness: &impl SecretHarness, key: &KeyMetadata) -> SecretErrorKind {
    let store = harness.store();
    let Err(error) = store.fetch(key).await else { panic!("{} has a secret", key.key_id) };
    assert_eq!(error.locator(), store.locator(key));
    assert!(error.to_string().contains(&store.locator(key)), "{error} does not say where it looked");
    assert_absent(&format!("{error} {error:?}"), &[SENTINEL, SECOND]);
    error.kind()
}

/// What was put comes out.
pub async fn fetches_what_was_put(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, SENTINEL).await;
    assert_eq!(fetched(&harness, &key).await, SENTINEL);
}

/// Each fetch gives the value of that moment.
pub async fn sees_a_replaced_value(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, SENTINEL).await;
    fetched(&harness, &key).await;
    harness.put(&key, SECOND).await;
    assert_eq!(fetched(&harness, &key).await, SECOND);
}

/// No secret: `NotFound`, and nothing that a retry would change.
pub async fn missing_is_not_found(harness: impl SecretHarness) {
    harness.put(&key("flash_01"), SENTINEL).await;
    assert_eq!(refused(&harness, &key("flash_02")).await, SecretErrorKind::NotFound);
}

/// A secret of nothing is no secret.
pub async fn empty_is_invalid(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, harness.nothing()).await;
    assert_eq!(refused(&harness, &key).await, SecretErrorKind::Invalid);
}

/// White space alone is no secret either.
pub async fn blank_is_invalid(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, " \n").await;
    assert_eq!(refused(&harness, &key).await, SecretErrorKind::Invalid);
}

/// `echo key | store put` leaves a line end: it is not part of the key.
pub async fn white_space_around_is_trimmed(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, &format!(" \t{SENTINEL}\r\n")).await;
    assert_eq!(fetched(&harness, &key).await, SENTINEL);
}

/// Ids that begin alike or hold punctuation have secrets of their own. (Ids that differ only in case or
/// punctuation are one name in some stores: those refuse them at load, see their own tests.)
pub async fn two_keys_never_mix(harness: impl SecretHarness) {
    let keys = ["flash_1", "flash_11", "Flash_2", "flash.3", "flash-4"].map(key);
    for (number, key) in keys.iter().enumerate() {
        harness.put(key, &format!("{SENTINEL}-{number}")).await;
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(fetched(&harness, key).await, format!("{SENTINEL}-{number}"));
    }
}

/// A hundred fetches at once each get the secret of their key.
pub async fn concurrent_fetches(harness: impl SecretHarness) {
    let keys = ["flash_01", "flash_02"].map(key);
    harness.put(&keys[0], SENTINEL).await;
    harness.put(&keys[1], SECOND).await;
    let mut fetches = JoinSet::new();
    for number in 0..100 {
        let (store, key) = (harness.store(), keys[number % 2].clone());
        fetches.spawn(async move { (number % 2, store.fetch(&key).await) });
    }
    while let Some(fetch) = fetches.join_next().await {
        let (key, secret) = fetch.expect("a fetch panicked");
        assert_eq!(secret.expect("a fetch failed").expose_secret(), [SENTINEL, SECOND][key]);
    }
}

/// The locator names one place for each key, the same each time, and not the secret.
pub async fn locators_are_stable_and_hold_no_secret(harness: impl SecretHarness) {
    let store = harness.store();
    let (first, second) = (key("flash_01"), key("flash_02"));
    let before = store.locator(&first);
    harness.put(&first, SENTINEL).await;
    fetched(&harness, &first).await;
    assert_eq!(store.locator(&first), before);
    assert_eq!(harness.store().locator(&first), before);
    assert_ne!(store.locator(&second), before);
    let (kind, name) = before.split_once(':').expect("a locator is written kind:name");
    assert!(!kind.is_empty() && !name.is_empty(), "{before:?}");
    assert_absent(&before, &[SENTINEL]);
}

/// The field `secret` of an entry names the place instead of the id.
pub async fn an_explicit_name_overrides_the_id(harness: impl SecretHarness) {
    let mut named = [key("flash_01"), key("flash_02")];
    for key in &mut named {
        key.secret = Some("SHARED_SECRET".to_owned());
    }
    harness.put(&key("flash_01"), SECOND).await;
    harness.put(&named[0], SENTINEL).await;
    assert_eq!(fetched(&harness, &named[1]).await, SENTINEL);
    assert_eq!(fetched(&harness, &key("flash_01")).await, SECOND);
    assert_eq!(harness.store().locator(&named[0]), harness.store().locator(&named[1]));
}

/// Neither the store nor what it hands out shows a secret.
pub async fn debug_shows_no_secret(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, SENTINEL).await;
    let store = harness.store();
    let secret = store.fetch(&key).await;
    assert_absent(&format!("{store:?} {store:#?} {secret:?}"), &[SENTINEL]);
}

/// The suite as tests of the module that calls it.
///
/// `$harness` is the path of an `async fn` without arguments that gives a fresh
/// [`SecretHarness`](crate::secret_store::SecretHarness). For a store that has no names but the ids of
/// the keys, write `by_id $harness`: the case about the field `secret` is left out.
#[macro_export]
macro_rules! secret_store_tests {
    (by_id $harness:path) => {
        $crate::secret_store_tests! { @each $harness;
            blank_is_invalid
            concurrent_fetches
            debug_shows_no_secret
            empty_is_invalid
            fetches_what_was_put
            locators_are_stable_and_hold_no_secret
            missing_is_not_found
            sees_a_replaced_value
            two_keys_never_mix
            white_space_around_is_trimmed
        }
    };
    (@each $harness:path; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::run_case(async { $crate::secret_store::$case($harness().await).await });
            }
        )*
    };
    ($harness:path) => {
        $crate::secret_store_tests! { by_id $harness }
        $crate::secret_store_tests! { @each $harness; an_explicit_name_overrides_the_id }
    };
}
