//! Secrets in memory: read once, shared by all calls, kept while the store is down.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex as Gate;

use crate::clock::Clock;
use crate::key::{KeyId, KeyMetadata};
use crate::secret::{SecretError, SecretStore};

/// A secret and how often it changed. `Debug` shows the version only.
pub struct VersionedSecret {
    /// What goes into the header of a call.
    pub secret: SecretString,
    /// Counts up for each key when the value really changed; never used twice for one key id.
    pub version: u64,
}

impl fmt::Debug for VersionedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionedSecret").field("version", &self.version).finish_non_exhaustive()
    }
}

type Fetched = Result<Arc<VersionedSecret>, SecretError>;

/// A [`SecretStore`] that is asked as seldom as possible.
///
/// A value is good for the time to live. Callers that need the same key at the same time share one
/// read, and dropping any of them harms no other. While the store cannot be reached the last good value
/// stays; when the store says that there is no valid secret, or refuses us, the key loses it.
pub struct SecretCache {
    store: Arc<dyn SecretStore>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<KeyId, Slot>,
    /// The highest version of any slot that was dropped. New ones begin there, so that the version of a
    /// key that went and came back is not mistaken for an old one.
    dropped: u64,
}

struct Slot {
    key: KeyMetadata,
    locator: String,
    /// Held by whoever reads the store for this key. A reader that is dropped frees it.
    gate: Arc<Gate<()>>,
    value: Option<Arc<VersionedSecret>>,
    version: u64,
    /// Why the last read failed.
    failure: Option<SecretError>,
    /// Completed reads: who sees it move while waiting for the gate need not read.
    reads: u64,
    /// Until then no call reads; from `refresh_at` on [`SecretCache::refresh_due`] does.
    good_until: Option<Instant>,
    refresh_at: Option<Instant>,
    /// The version that was rejected last, and when the read that followed ended.
    reread: Option<(u64, Instant)>,
}

impl SecretCache {
    /// Time to live of a value; `KEYROT_SECRET_TTL`.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(5 * 60);
    /// A store that failed or had no secret is not asked again for the same key before this.
    pub const PAUSE: Duration = Duration::from_secs(10);
    /// All rejections of one version within this time are answered with one read.
    pub const BURST: Duration = Duration::from_secs(1);
    /// How many keys [`refresh_due`](Self::refresh_due) reads at the same time.
    const READERS: usize = 4;

    /// Nothing is read before the first call.
    pub fn new(store: Arc<dyn SecretStore>, clock: Arc<dyn Clock>, ttl: Duration) -> Self {
        Self { store, clock, ttl, slots: Mutex::default() }
    }

    /// The store behind it.
    pub fn store(&self) -> &dyn SecretStore {
        &*self.store
    }

    /// The held value, however old, without waiting: what the hot path uses.
    pub fn peek(&self, id: &KeyId) -> Option<Arc<VersionedSecret>> {
        self.lock().by_key.get(id)?.value.clone()
    }

    /// The value; read from the store if none is held or its time to live is over. While another caller
    /// reads, a held value is given at once.
    ///
    /// # Errors
    /// Those of the store, repeated without a read for [`PAUSE`](Self::PAUSE). A store that cannot be
    /// reached is no error while a value is held.
    pub async fn get(&self, key: &KeyMetadata) -> Result<Arc<VersionedSecret>, SecretError> {
        let now = self.clock.now();
        let (gate, reads, good, held) = self.with_slot(key, |slot| {
            let good = slot.good_until.is_some_and(|end| now < end);
            (Arc::clone(&slot.gate), slot.reads, good, slot.held())
        });
        let _reader = match held {
            Some(held) if good => return held,
            Some(Ok(value)) => match gate.try_lock() {
                Ok(reader) => reader,
                Err(_) => return Ok(value),
            },
            _ => gate.lock().await,
        };
        self.read(key, reads).await.or_else(|error| self.peek(&key.key_id).ok_or(error))
    }

    /// The provider refused this version: the value of one fresh read, which all callers share that
    /// report the same within [`BURST`](Self::BURST). If a newer version is held, that one, unread. The
    /// same version comes back if the store still holds the same value.
    ///
    /// # Errors
    /// Those of the store; one that cannot be reached is an error here, as nothing is known then. The
    /// held value stays.
    pub async fn rejected(
        &self,
        key: &KeyMetadata,
        version: u64,
    ) -> Result<Arc<VersionedSecret>, SecretError> {
        let (gate, reads) = self.with_slot(key, |slot| (Arc::clone(&slot.gate), slot.reads));
        let _reader = gate.lock().await;
        let now = self.clock.now();
        let known = self.with_slot(key, |slot| {
            let newer = slot.value.as_ref().is_some_and(|held| held.version > version);
            let asked = slot.reread.is_some_and(|(of, at)| of == version && now < at + Self::BURST);
            (newer || asked).then(|| slot.last_read()).flatten()
        });
        if let Some(known) = known {
            return known;
        }
        let fetched = self.read(key, reads).await;
        self.with_slot(key, |slot| slot.reread = Some((version, self.clock.now())));
        fetched
    }

    /// Reads again what is held and has used up 80 % of its time to live, so that no call has to wait
    /// for it. To be called from time to time, say each tenth of the time to live.
    pub async fn refresh_due(&self) {
        let now = self.clock.now();
        let due: Vec<KeyMetadata> = {
            let slots = self.lock();
            let due = slots.by_key.values().filter(|slot| {
                slot.value.is_some() && slot.refresh_at.is_some_and(|refresh_at| refresh_at <= now)
            });
            due.map(|slot| slot.key.clone()).collect()
        };
        let queue = Mutex::new(due.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let reader = || async {
            while let Some(key) = next() {
                let (gate, reads) = self.with_slot(&key, |slot| (Arc::clone(&slot.gate), slot.reads));
                if let Ok(_reader) = gate.try_lock() {
                    let _ = self.read(&key, reads).await; // a failure is kept in the slot
                }
            }
        };
        let mut readers: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        readers.resize_with(Self::READERS, || Box::pin(reader()));
        poll_fn(|context| {
            readers.retain_mut(|reader| reader.as_mut().poll(context).is_pending());
            if readers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Forgets the secrets of all other keys, and of those whose secret is now found elsewhere.
    pub fn retain<'k>(&self, keys: impl IntoIterator<Item = &'k KeyMetadata>) {
        let places: HashMap<&KeyId, String> =
            keys.into_iter().map(|key| (&key.key_id, self.store.locator(key))).collect();
        let mut slots = self.lock();
        let Slots { by_key, dropped } = &mut *slots;
        by_key.retain(|id, slot| {
            let kept = places.get(id) == Some(&slot.locator);
            if !kept {
                *dropped = slot.version.max(*dropped);
            }
            kept
        });
    }

    /// Reads the store, unless a read was completed since `seen` was taken. The caller holds the gate.
    async fn read(&self, key: &KeyMetadata, seen: u64) -> Fetched {
        let (locator, known) = self.with_slot(key, |slot| {
            let known = (slot.reads != seen).then(|| slot.last_read()).flatten();
            (slot.locator.clone(), known)
        });
        if let Some(known) = known {
            return known;
        }
        let began = self.clock.now();
        let fetched = self.store.fetch(key).await;
        let ended = self.clock.now();
        match self.lock().by_key.get_mut(&key.key_id) {
            Some(slot) if slot.locator == locator => slot.settle(fetched, began, ended, self.ttl),
            // forgotten or moved meanwhile: good for this caller only
            _ => fetched.map(|secret| Arc::new(VersionedSecret { secret, version: 0 })),
        }
    }

    fn with_slot<R>(&self, key: &KeyMetadata, ask: impl FnOnce(&mut Slot) -> R) -> R {
        let locator = self.store.locator(key);
        let mut slots = self.lock();
        let dropped = slots.dropped;
        let slot = slots
            .by_key
            .entry(key.key_id.clone())
            .or_insert_with(|| Slot::new(key.clone(), locator.clone(), dropped));
        if slot.locator != locator {
            *slot = Slot::new(key.clone(), locator, slot.version);
        }
        ask(slot)
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SecretCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretCache")
            .field("store", &self.store)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn new(key: KeyMetadata, locator: String, version: u64) -> Self {
        Self {
            key,
            locator,
            gate: Arc::default(),
            value: None,
            version,
            failure: None,
            reads: 0,
            good_until: None,
            refresh_at: None,
            reread: None,
        }
    }

    /// The value, however old; without one, why there is none.
    fn held(&self) -> Option<Fetched> {
        self.value.clone().map(Ok).or_else(|| self.failure.clone().map(Err))
    }

    /// What the last read gave.
    fn last_read(&self) -> Option<Fetched> {
        self.failure.clone().map(Err).or_else(|| self.value.clone().map(Ok))
    }

    fn settle(
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
                let value = same.unwrap_or_else(|| {
                    self.version += 1;
                    Arc::new(VersionedSecret { secret, version: self.version })
                });
                self.value = Some(Arc::clone(&value));
                Ok(value)
            }
            Err(error) => {
                if !error.is_transient() {
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
