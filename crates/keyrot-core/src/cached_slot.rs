//! What the cache of secrets knows about one key, and how a read changes it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex as Gate;

use crate::cached::SecretCache;
use crate::key::KeyMetadata;
use crate::measured::secret_read;
use crate::secret_error::SecretError;

/// A secret and how often it changed. `Debug` shows the version only.
pub struct VersionedSecret {
    /// What goes into the header of a call.
    pub secret: SecretString,
    /// Counts up for each key when the value really changed; never used twice for one key id.
    pub version: u64,
    /// There was another value before it, or the same that was gone meanwhile.
    pub is_replacement: bool,
}

impl fmt::Debug for VersionedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionedSecret").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What a read gave.
pub(crate) type Fetched = Result<Arc<VersionedSecret>, SecretError>;

/// One key of the cache.
pub(crate) struct Slot {
    pub(crate) key: KeyMetadata,
    pub(crate) locator: String,
    /// Held by whoever reads the store for this key. A reader that is dropped frees it.
    pub(crate) gate: Arc<Gate<()>>,
    pub(crate) value: Option<Arc<VersionedSecret>>,
    pub(crate) version: u64,
    /// There is or was a value.
    had_value: bool,
    /// Why the last read failed.
    pub(crate) failure: Option<SecretError>,
    /// Completed reads: who sees it move while waiting for the gate need not read.
    pub(crate) reads: u64,
    /// Until then no call reads; from `refresh_at` on [`refresh_due`](crate::SecretCache::refresh_due) does.
    pub(crate) good_until: Option<Instant>,
    pub(crate) refresh_at: Option<Instant>,
    /// The version that was rejected last, and when the read that followed ended.
    pub(crate) reread: Option<(u64, Instant)>,
}

impl Slot {
    pub(crate) fn new(key: KeyMetadata, locator: String, version: u64) -> Self {
        Self {
            key,
            locator,
            gate: Arc::default(),
            value: None,
            version,
            had_value: false,
            failure: None,
            reads: 0,
            good_until: None,
            refresh_at: None,
            reread: None,
        }
    }

    /// The value, however old; without one, why there is none.
    pub(crate) fn held(&self) -> Option<Fetched> {
        self.value.clone().map(Ok).or_else(|| self.failure.clone().map(Err))
    }

    /// What the last read gave.
    pub(crate) fn last_read(&self) -> Option<Fetched> {
        self.failure.clone().map(Err).or_else(|| self.value.clone().map(Ok))
    }

    pub(crate) fn settle(
        &mut self,
        fetched: Result<SecretString, SecretError>,
        began: Instant,
        ended: Instant,
        ttl: Duration,
    ) -> Fetched {
        self.reads += 1;
        match fetched {
            Ok(secret) => {
                self.failure = None;
                self.good_until = Some(began + ttl);
                self.refresh_at = Some(began + ttl * 4 / 5);
                let same = self.value.take_if(|held| held.secret.expose_secret() == secret.expose_secret());
                secret_read(if same.is_some() { "same" } else { "new" });
                let value = same.unwrap_or_else(|| {
                    self.version += 1;
                    let is_replacement = std::mem::replace(&mut self.had_value, true);
                    Arc::new(VersionedSecret { secret, version: self.version, is_replacement })
                });
                self.value = Some(Arc::clone(&value));
                Ok(value)
            }
            Err(error) => {
                secret_read("failed");
                if error.kind().ends_the_secret() {
                    self.value = None;
                }
                let pause_ends = Some(ended + SecretCache::PAUSE);
                self.good_until =
                    if self.value.is_some() { self.good_until.max(pause_ends) } else { pause_ends };
                self.refresh_at = pause_ends;
                self.failure = Some(error.clone());
                Err(error)
            }
        }
    }
}
