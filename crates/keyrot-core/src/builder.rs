//! How a pool is put together.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::cached::SecretCache;
use crate::clock::{Clock, SystemClock};
use crate::cooldown::Backoff;
use crate::keyset::KeySet;
use crate::limit::RateLimiter;
use crate::local_limiter::LocalLimiter;
use crate::memory_store::MemoryStore;
use crate::pool::{Inner, KeyPool};
use crate::secret::SecretStore;

/// Options of a [`KeyPool`].
#[must_use]
pub struct KeyPoolBuilder {
    keys: KeySet,
    secrets: Arc<dyn SecretStore>,
    limiter: Option<Arc<dyn RateLimiter>>,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    secret_ttl: Duration,
    seed: Option<u64>,
    any_model: bool,
}

impl KeyPool {
    /// A pool of these keys.
    pub fn builder(keys: KeySet) -> KeyPoolBuilder {
        KeyPoolBuilder {
            keys,
            secrets: Arc::new(MemoryStore::default()),
            limiter: None,
            clock: Arc::new(SystemClock),
            backoff: Backoff::default(),
            secret_ttl: SecretCache::DEFAULT_TTL,
            seed: None,
            any_model: false,
        }
    }
}

impl fmt::Debug for KeyPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPoolBuilder").finish_non_exhaustive()
    }
}

impl KeyPoolBuilder {
    /// Where secrets come from; default: an empty [`MemoryStore`].
    pub fn secrets(mut self, store: impl SecretStore) -> Self {
        self.secrets = Arc::new(store);
        self
    }

    /// As [`secrets`](Self::secrets), for a store chosen at run time.
    pub fn shared_secrets(mut self, store: Arc<dyn SecretStore>) -> Self {
        self.secrets = store;
        self
    }

    /// Where quota is counted; default: a [`LocalLimiter`].
    pub fn limiter(mut self, limiter: Arc<dyn RateLimiter>) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// The source of time; default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The back-off schedule of cooldowns; default 30 s doubling to 15 min.
    pub fn cooldown(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long a secret is used before it is read again; default 5 min.
    pub fn secret_ttl(mut self, ttl: Duration) -> Self {
        self.secret_ttl = ttl;
        self
    }

    /// Makes every random choice repeatable; default: seeded from the time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Each key serves whatever model is asked for, without limits where its entry states none; for a lone key
    /// whose owner wrote no list of models. Default: only the models of the entries.
    pub fn any_model(mut self, any: bool) -> Self {
        self.any_model = any;
        self
    }

    /// Builds the pool. Never fails and reads nothing: trouble shows at the first acquire.
    #[must_use]
    pub fn build(self) -> KeyPool {
        let Self { keys, secrets, limiter, clock, backoff, secret_ttl, seed, any_model } = self;
        let limiter = limiter.unwrap_or_else(|| Arc::new(LocalLimiter::new(Arc::clone(&clock))));
        let from_time = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let rng = fastrand::Rng::with_seed(seed.unwrap_or(from_time as u64));
        let secrets = SecretCache::new(secrets, Arc::clone(&clock), secret_ttl);
        KeyPool { inner: Arc::new(Inner::new(keys, clock, secrets, limiter, backoff, rng, any_model)) }
    }
}
