//! Cases of the suite of secret stores: what a secret is called, when it was written, and by whom.

use std::time::{Duration, SystemTime};

use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyMetadata, KeySet, SecretErrorKind};

use crate::secret_store::{SECOND, SENTINEL, SecretHarness, fetched, key, refused};

/// The field `secret` of an entry names the place instead of the id.
pub async fn an_explicit_name_overrides_the_id(harness: impl SecretHarness) {
    let mut named = [key("flash_01"), key("flash_02")];
    for key in &mut named {
        key.secret = Some("SHARED-SECRET".to_owned());
    }
    harness.put(&key("flash_01"), SECOND).await;
    harness.put(&named[0], SENTINEL).await;
    assert_eq!(fetched(&harness, &named[1]).await, SENTINEL);
    assert_eq!(fetched(&harness, &key("flash_01")).await, SECOND);
    assert_eq!(harness.store().locator(&named[0]), harness.store().locator(&named[1]));
}

/// A name that the store cannot hold is refused at load and again by a read, and no server hears of it: `a/b` means
/// something else there.
pub async fn bad_names_never_reach_the_store(harness: impl SecretHarness) {
    let store = harness.store();
    let before = harness.requests().await;
    let names = harness.bad_names();
    assert!(!names.is_empty());
    for name in names {
        let mut named = key("flash_01");
        named.secret = Some(name.clone());
        assert_eq!(refused(&harness, &named).await, SecretErrorKind::BadName, "{name:?}");
        let error = store.check(&set([named])).expect_err("a bad name passes").to_string();
        let shown = format!("{name:?}");
        assert!(error.contains("flash_01") && error.contains(shown.trim_matches('"')), "{error}");
    }
    assert_eq!(harness.requests().await, before);
}

/// Two ids that lead to one secret are a mistake, unless both name it.
pub async fn two_ids_of_one_name_are_refused(harness: impl SecretHarness) {
    let store = harness.store();
    let two = harness.one_name().await;
    let error = store.check(&set(two.clone())).expect_err("one name passes").to_string();
    assert!(two.iter().all(|key| error.contains(key.key_id.as_str())), "{error}");
    let named = two.map(|mut key| {
        key.secret = Some("SHARED".to_owned());
        key
    });
    store.check(&set(named)).expect("both say that they share one");
}

fn set(keys: impl IntoIterator<Item = KeyMetadata>) -> KeySet {
    let mut set = KeySet::default();
    for key in keys {
        set.upsert(key).expect("a good entry but for its name");
    }
    set
}

/// The age of a secret is that of the value that is read. Servers may round to a second.
pub async fn tells_when_a_secret_was_written(harness: impl SecretHarness) {
    const ROUNDED: Duration = Duration::from_secs(2);
    let key = key("flash_01");
    harness.put(&key, SENTINEL).await;
    let (before, store) = (now(), harness.store());
    harness.put(&key, SECOND).await;
    let written = store.written_at(&key).await.expect("the age can be had").expect("the store knows it");
    assert!(written + ROUNDED >= before, "{written:?} is before {before:?}");
    assert!(written <= now() + ROUNDED, "{written:?} is in the future");
}

#[expect(clippy::disallowed_methods, reason = "compared with the clock of a real server")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// What the store writes is what it reads, and it replaces what others put there.
pub async fn what_is_written_is_read(harness: impl SecretHarness) {
    let (first, second) = (key("flash_01"), key("flash_02"));
    let writer = harness.writer();
    writer.put(&first, &SecretString::from(SENTINEL)).await.expect("a new secret can be written");
    assert_eq!(fetched(&harness, &first).await, SENTINEL);
    harness.put(&second, SENTINEL).await;
    writer.put(&second, &SecretString::from(SECOND)).await.expect("a secret can be replaced");
    assert_eq!(fetched(&harness, &second).await, SECOND);
    assert_eq!(fetched(&harness, &first).await, SENTINEL);
}
