//! The cache of secrets on a clock moved by hand and a store that counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    KeyId, KeyMetadata, ManualClock, SecretCache, SecretError, SecretErrorKind, SecretStore, VersionedSecret,
};
use tokio::sync::Semaphore;

pub(crate) const TTL: Duration = SecretCache::DEFAULT_TTL;

/// Answers with what `answer` is when a read begins; each read waits for a permit.
#[derive(Debug)]
pub(crate) struct Counting {
    reads: AtomicUsize,
    under_way: AtomicUsize,
    pub(crate) most_under_way: AtomicUsize,
    answer: Mutex<Result<&'static str, SecretErrorKind>>,
    permits: Semaphore,
}

#[async_trait]
impl SecretStore for Counting {
    fn locator(&self, key: &KeyMetadata) -> String {
        format!("test:{}", key.secret.as_deref().unwrap_or(key.key_id.as_str()))
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let answer = *self.answer.lock().unwrap(); // what the store holds when the read begins
        let permit = self.permits.acquire().await.unwrap();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        drop(permit);
        answer
            .map(|secret| SecretString::from(format!("{secret}-{}", key.key_id)))
            .map_err(|kind| SecretError::new(kind, self.locator(key), "scripted"))
    }
}

pub(crate) struct Bench {
    pub(crate) store: Arc<Counting>,
    pub(crate) clock: ManualClock,
    pub(crate) cache: Arc<SecretCache>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Counting {
            reads: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            answer: Mutex::new(Ok("one")),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let clock = ManualClock::default();
        let cache = Arc::new(SecretCache::new(store.clone(), Arc::new(clock.clone()), TTL));
        Self { store, clock, cache }
    }

    pub(crate) fn open(&self) {
        self.store.permits.add_permits(1000);
    }

    /// Reads hang until `open`.
    pub(crate) fn close(&self) {
        self.store.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn answer(&self, answer: Result<&'static str, SecretErrorKind>) {
        *self.store.answer.lock().unwrap() = answer;
    }

    pub(crate) fn reads(&self) -> usize {
        self.store.reads.load(Ordering::SeqCst)
    }

    pub(crate) async fn get(&self) -> Result<Arc<VersionedSecret>, SecretError> {
        self.cache.get(&key("a")).await
    }
}

pub(crate) fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "m")
}

pub(crate) fn seen(value: &VersionedSecret) -> (&str, u64) {
    (value.secret.expose_secret(), value.version)
}

/// Lets every other task run until it waits.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
