//! The suite of secret stores: one named test per rule.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    KeyId, KeyMetadata, SecretCache, SecretError, SecretErrorKind, SecretStore, SecretWriter, SystemClock,
};
use tokio::task::JoinSet;

use crate::leak::assert_absent;
pub use crate::secret_names::*;
pub use crate::secret_troubles::*;

/// A store under test, and how a user of it would put secrets there. What has a default is asked for by the groups of
/// cases that say so.
#[async_trait]
pub trait SecretHarness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn SecretStore>;

    /// Puts or replaces the secret of a key, exactly as it is given, by other means than the store.
    async fn put(&self, key: &KeyMetadata, secret: &str);

    /// A value that holds nothing; a store that cannot hold an empty text says `" "`.
    fn nothing(&self) -> &'static str {
        ""
    }

    /// What the store logs in with: no text may show it.
    fn credentials(&self) -> Vec<String> {
        Vec::new()
    }

    /// Each error text holds this: what a user runs or sets to look at the secret of this key.
    fn advice(&self, _key: &KeyMetadata) -> String {
        String::new()
    }

    /// `named`: values of the field `secret` that this store cannot hold.
    fn bad_names(&self) -> Vec<String> {
        panic!("the group `named` needs bad_names")
    }

    /// `named`: two entries that lead to one secret without saying so.
    async fn one_name(&self) -> [KeyMetadata; 2] {
        panic!("the group `named` needs one_name")
    }

    /// `named`: how many requests have reached the store's server so far. 0 for a store without one.
    async fn requests(&self) -> usize {
        0
    }

    /// `written`: the store as one that can be written to.
    fn writer(&self) -> Arc<dyn SecretWriter> {
        panic!("the group `written` needs a writer")
    }

    /// `disabled`, `shaped`, `guarded`, `throttled`, `served`: from now on the store runs into this trouble.
    async fn cause(&self, trouble: Trouble, _key: &KeyMetadata) {
        panic!("this harness cannot cause {trouble:?}")
    }

    /// `throttled`, `served`: the trouble is over, and the secret that was put before is there.
    async fn end(&self, trouble: Trouble, _key: &KeyMetadata) {
        panic!("this harness cannot end {trouble:?}")
    }
}

/// Trouble that a store can have, as a harness causes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The secret of the key is switched off, or deleted so that it can be had back.
    Disabled,
    /// The secret of the key is not of a shape that holds an API key.
    WrongShape,
    /// The store's credential is good, but not for this secret.
    NoPermission,
    /// The store's credential is refused.
    WrongCredentials,
    /// Every read is refused for a while because there were too many.
    Throttled,
    /// The server's process has ended.
    Gone,
    /// The server's process is stopped: connections are accepted by the system, nobody answers.
    Frozen,
}

pub(crate) const SENTINEL: &str = "AIzaSentinel-7d1f0c52e98b4a63";
pub(crate) const SECOND: &str = "AQ.Another-c4b8e2f6a90d7135";

pub(crate) fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).expect("a key id of the suite"), "gemini-2.5-flash")
}

pub(crate) async fn fetched(harness: &impl SecretHarness, key: &KeyMetadata) -> String {
    match harness.store().fetch(key).await {
        Ok(secret) => secret.expose_secret().to_owned(),
        Err(error) => panic!("the secret of {} cannot be fetched: {error}", key.key_id),
    }
}

/// The kind of the error, after a look at its texts: they name the place and hold no secret.
pub(crate) async fn refused(harness: &impl SecretHarness, key: &KeyMetadata) -> SecretErrorKind {
    let store = harness.store();
    let Err(error) = store.fetch(key).await else { panic!("{} has a secret", key.key_id) };
    assert_eq!(error.locator(), store.locator(key));
    assert!(error.to_string().contains(&store.locator(key)), "{error} does not say where it looked");
    let advice = harness.advice(key);
    assert!(error.to_string().contains(&advice), "{error} does not say {advice:?}");
    shows_nothing(harness, &error);
    error.kind()
}

/// Neither the error nor what is behind it holds a secret or the store's credential.
fn shows_nothing(harness: &impl SecretHarness, error: &SecretError) {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        shown.push_str(&format!(" {error} {error:?} {error:#?}"));
        cause = error.source();
    }
    assert_absent(&shown, &[SENTINEL, SECOND]);
    let credentials = harness.credentials();
    assert_absent(&shown, &credentials.iter().map(String::as_str).collect::<Vec<_>>());
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
pub async fn an_empty_secret_is_told(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, harness.nothing()).await;
    assert_eq!(refused(&harness, &key).await, SecretErrorKind::Empty);
}

/// White space alone is no secret either.
pub async fn a_blank_secret_is_told(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, " \n").await;
    assert_eq!(refused(&harness, &key).await, SecretErrorKind::Empty);
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

/// Neither the store nor what it hands out shows a secret or the store's credential.
pub async fn debug_shows_no_secret(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, SENTINEL).await;
    let store = harness.store();
    let secret = store.fetch(&key).await;
    let shown = format!("{store:?} {store:#?} {secret:?}");
    assert_absent(&shown, &[SENTINEL]);
    let credentials = harness.credentials();
    assert_absent(&shown, &credentials.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Several secrets at once come in the order of the keys, each with its own success or trouble.
pub async fn many_at_once_are_what_each_is(harness: impl SecretHarness) {
    let keys: Vec<KeyMetadata> = (0..25).map(|number| key(&format!("flash_{number:02}"))).collect();
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 5 != 3) {
        harness.put(key, &format!("{SENTINEL}-{number}")).await;
    }
    let fetched = harness.store().fetch_all(&keys).await;
    assert_eq!(fetched.len(), keys.len());
    for (number, (key, secret)) in keys.iter().zip(fetched).enumerate() {
        match secret {
            Ok(secret) => assert_eq!(secret.expose_secret(), format!("{SENTINEL}-{number}")),
            Err(error) => {
                assert_eq!((number % 5, error.kind()), (3, SecretErrorKind::NotFound), "{error}");
                assert_eq!(error.locator(), harness.store().locator(key));
                shows_nothing(&harness, &error);
            }
        }
    }
}

/// Callers that need one key at the same time share one read.
pub async fn concurrent_needs_are_one_read(harness: impl SecretHarness) {
    let key = key("flash_01");
    harness.put(&key, SENTINEL).await;
    let store = Arc::new(Counted { store: harness.store(), reads: AtomicUsize::new(0) });
    let clock = Arc::new(SystemClock);
    let cache = Arc::new(SecretCache::new(store.clone(), clock, SecretCache::DEFAULT_TTL));
    let mut needs = JoinSet::new();
    for _ in 0..100 {
        let (cache, key) = (cache.clone(), key.clone());
        needs.spawn(async move { cache.get(&key).await.map(|held| held.version) });
    }
    while let Some(need) = needs.join_next().await {
        assert_eq!(need.expect("a need panicked").expect("a fetch failed"), 1);
    }
    assert_eq!(store.reads.load(Ordering::Relaxed), 1);
}

/// The store under test, counting.
#[derive(Debug)]
struct Counted {
    store: Arc<dyn SecretStore>,
    reads: AtomicUsize,
}

#[async_trait]
impl SecretStore for Counted {
    fn locator(&self, key: &KeyMetadata) -> String {
        self.store.locator(key)
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.fetch(key).await
    }
}

/// The suite as tests of the module that calls it.
///
/// `$harness` is the path of an `async fn` without arguments that gives a fresh
/// [`SecretHarness`](crate::secret_store::SecretHarness). After it stand the groups of cases that the store can meet
/// beside those that every store must pass:
///
/// - `named`: it has names of its own, which the field `secret` of an entry may state;
/// - `dated`: it tells when a secret was written;
/// - `written`: it can be written to;
/// - `disabled`: a secret can be there and switched off;
/// - `shaped`: a secret can be something else than one text;
/// - `guarded`: it wants credentials and has permissions;
/// - `throttled`: it may ask to slow down;
/// - `served`: it is a server, which may be gone or hang.
///
/// Attributes before the harness are those of every test: `#[ignore = "needs moto: cargo xtask test"] moto; named`.
#[macro_export]
macro_rules! secret_store_tests {
    (@case [$($attribute:tt)*] $harness:path; $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::run_case(async { $crate::secret_store::$case($harness().await).await });
        }
    };
    (@each $attributes:tt $harness:path; $($case:ident)*) => {
        $( $crate::secret_store_tests! { @case $attributes $harness; $case } )*
    };
    (@group named $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness;
            an_explicit_name_overrides_the_id
            bad_names_never_reach_the_store
            two_ids_of_one_name_are_refused
        }
    };
    (@group dated $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness; tells_when_a_secret_was_written }
    };
    (@group written $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness; what_is_written_is_read }
    };
    (@group disabled $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness; a_disabled_secret_is_told }
    };
    (@group shaped $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness; a_wrong_shape_is_told }
    };
    (@group guarded $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness; no_permission_is_denied wrong_credentials_are_told }
    };
    (@group throttled $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness; a_throttled_read_is_told_and_goes_on_later }
    };
    (@group served $attributes:tt $harness:path) => {
        $crate::secret_store_tests! { @each $attributes $harness;
            a_frozen_server_is_given_up_in_time
            a_server_that_is_gone_is_unreachable
        }
    };
    (@all $attributes:tt $harness:path; $($group:ident)*) => {
        $crate::secret_store_tests! { @each $attributes $harness;
            a_blank_secret_is_told
            an_empty_secret_is_told
            concurrent_fetches
            concurrent_needs_are_one_read
            debug_shows_no_secret
            fetches_what_was_put
            locators_are_stable_and_hold_no_secret
            many_at_once_are_what_each_is
            missing_is_not_found
            sees_a_replaced_value
            two_keys_never_mix
            white_space_around_is_trimmed
        }
        $( $crate::secret_store_tests! { @group $group $attributes $harness } )*
    };
    ($(#[$attribute:meta])* $harness:path) => {
        $crate::secret_store_tests! { @all [$(#[$attribute])*] $harness; }
    };
    ($(#[$attribute:meta])* $harness:path; $($group:ident)*) => {
        $crate::secret_store_tests! { @all [$(#[$attribute])*] $harness; $($group)* }
    };
}
