//! The pool: the state behind one short mutex, with a limiter, a secret cache and a clock around it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cached::SecretCache;
use crate::clock::Clock;
use crate::cooldown::Backoff;
use crate::error::ConfigError;
use crate::key::{KeyId, KeyMetadata};
use crate::keyset::KeySet;
use crate::limit::{LimiterError, RateLimiter};
use crate::outcome::Scope;
use crate::roster::Tick;
use crate::settling::Dropped;
use crate::state::PoolState;
use crate::wait::WaitRoom;

/// Many keys as one. Clones are handles of the same pool.
///
/// ```
/// use keyrot_core::secrecy::SecretString;
/// use keyrot_core::{KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, MemoryStore, Usage};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = KeyId::parse("flash_01")?;
/// let secrets = MemoryStore::default();
/// secrets.put(&id, SecretString::from("the-api-key"));
/// let mut keys = KeySet::default();
/// keys.upsert(KeyMetadata::new(id, "gemini-2.5-flash"))?;
///
/// let pool = KeyPool::builder(keys).secrets(secrets).build();
/// let lease = pool.acquire(&KeyRequest::model("gemini-2.5-flash")).await?;
/// let call = lease.begin()?; // now send it, with call.secret() in the header
/// call.succeeded(Usage::input(812)).await;
/// assert_eq!(pool.health()["flash_01"].success_count, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KeyPool {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Instant,
    pub(crate) secrets: SecretCache,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// So many groups are offered to the limiter in one question.
    pub(crate) offered_at_once: usize,
    pub(crate) waiters: Arc<WaitRoom>,
    pub(crate) any_model: bool,
    /// Somebody calls [`refresh_secrets`](KeyPool::refresh_secrets).
    pub(crate) refreshed: AtomicBool,
    pub(crate) backoff: Backoff,
    shared: Mutex<Shared>,
    /// The generation of blocks that this pool has seen; changed while `shared` is held.
    pub(crate) seen: AtomicU64,
    /// What is left of leases that were dropped; settled by whoever comes next.
    pub(crate) dropped: Mutex<Dropped>,
    pub(crate) some_dropped: AtomicBool,
    pub(crate) epoch: u64,
    pub(crate) batches: AtomicU64,
}

pub(crate) struct Shared {
    pub(crate) state: PoolState,
    pub(crate) keys: KeySet,
    pub(crate) rng: fastrand::Rng,
    pub(crate) closed: bool,
    /// Keys whose secret was replaced, until what its forerunner earned is lifted.
    pub(crate) cures: Vec<KeyId>,
}

impl Inner {
    pub(crate) fn new(
        keys: KeySet,
        clock: Arc<dyn Clock>,
        secrets: SecretCache,
        limiter: Arc<dyn RateLimiter>,
        backoff: Backoff,
        mut rng: fastrand::Rng,
        any_model: bool,
    ) -> Self {
        let epoch = rng.u64(1..);
        let shared = Shared { state: PoolState::new(&keys), keys, rng, closed: false, cures: Vec::new() };
        Self {
            started: clock.now(),
            clock,
            secrets,
            offered_at_once: limiter.candidates_at_once().max(1),
            waiters: Arc::new(WaitRoom::new(limiter.candidates_at_once() > 1)),
            limiter,
            any_model,
            refreshed: AtomicBool::new(false),
            backoff,
            shared: Mutex::new(shared),
            seen: AtomicU64::new(0),
            dropped: Mutex::default(),
            some_dropped: AtomicBool::new(false),
            epoch,
            batches: AtomicU64::new(1),
        }
    }
}

impl fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPool").field("limiter", &self.inner.limiter).finish_non_exhaustive()
    }
}

impl KeyPool {
    /// Replaces the keys, as after an edit of keys.json. What is known of ids, projects and models
    /// that remain is kept; leases keep the scopes they were granted under.
    pub fn replace_keys(&self, keys: KeySet) {
        self.put_keys(&mut self.lock(), keys);
        self.inner.waiters.wake();
    }

    pub(crate) fn put_keys(&self, shared: &mut Shared, keys: KeySet) {
        let mut state = PoolState::new(&keys);
        state.inherit(&mut shared.state);
        shared.state = state;
        self.inner.secrets.retain(keys.iter());
        shared.keys = keys;
    }

    /// Adds a key or replaces the one with the same id; selectable at the next acquire. Not written
    /// to any file: see [`save`](Self::save).
    pub fn upsert(&self, key: KeyMetadata) -> Result<(), ConfigError> {
        let mut keys = self.lock().keys.clone();
        keys.upsert(key)?;
        self.replace_keys(keys);
        Ok(())
    }

    /// Writes the keys (never secrets) to a keys.json, atomically; comments, unknown fields and
    /// what others changed meanwhile are kept.
    pub fn save(&self, path: &std::path::Path) -> Result<(), ConfigError> {
        let mut keys = self.lock().keys.clone();
        keys.save(path, self.inner.clock.wall())?;
        self.replace_keys(keys);
        Ok(())
    }

    /// The keys as they are now.
    pub fn keys(&self) -> KeySet {
        self.lock().keys.clone()
    }

    /// Lifts a block and forgets its strikes.
    pub async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        self.inner.limiter.reset(scope).await?;
        self.settle(None, Vec::new(), None).await; // brings the changed record
        Ok(())
    }

    /// Ends the pool: nobody gets a key any more, and what is left to settle is settled.
    pub async fn close(&self) {
        self.lock().closed = true;
        self.inner.waiters.wake();
        self.settle_dropped().await;
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.inner.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the pool was built.
    pub(crate) fn tick(&self) -> Tick {
        self.tick_at(self.inner.clock.now())
    }

    pub(crate) fn tick_at(&self, now: Instant) -> Tick {
        let elapsed = now.saturating_duration_since(self.inner.started);
        Tick::try_from(elapsed.as_millis()).unwrap_or(Tick::MAX - 1)
    }

    pub(crate) fn instant_of(&self, tick: Tick) -> Instant {
        self.inner.started + Duration::from_millis(tick)
    }
}
