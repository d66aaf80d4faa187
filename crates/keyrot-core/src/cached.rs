//! Secrets in memory: read once, shared by all calls, kept while the store is down.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::sync::Notify;

use crate::cached_slot::{Fetched, Slot, VersionedSecret};
use crate::clock::Clock;
use crate::concurrent::a_few_at_a_time;
use crate::key::{KeyId, KeyMetadata};
use crate::map::Map;
use crate::secret::SecretStore;
use crate::secret_error::{SecretError, SecretErrorKind};

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
    wanted: Notify,
}

#[derive(Default)]
struct Slots {
    by_key: Map<KeyId, Slot>,
    /// The highest version of any slot that was dropped. New ones begin there, so that the version of a
    /// key that went and came back is not mistaken for an old one.
    dropped: u64,
}

impl SecretCache {
    /// Time to live of a value; `KEYROT_SECRET_TTL`.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(5 * 60);
    /// A store that failed or had no secret is not asked again for the same key before this.
    pub const PAUSE: Duration = Duration::from_secs(10);
    /// All rejections of one version within this time are answered with one read.
    pub const BURST: Duration = Duration::from_secs(1);
    /// Nothing is read before the first call.
    pub fn new(store: Arc<dyn SecretStore>, clock: Arc<dyn Clock>, ttl: Duration) -> Self {
        Self { store, clock, ttl, slots: Mutex::default(), wanted: Notify::new() }
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
        let gate = self.with_slot(key, |slot| Arc::clone(&slot.gate));
        let _reader = gate.lock().await;
        let now = self.clock.now();
        let (reads, known) = self.with_slot(key, |slot| {
            let newer = slot.value.clone().filter(|held| held.version > version);
            let asked = slot.reread.is_some_and(|(of, at)| of == version && now < at + Self::BURST);
            (slot.reads, newer.map(Ok).or_else(|| asked.then(|| slot.last_read()).flatten()))
        });
        if let Some(known) = known {
            return known;
        }
        let fetched = self.read(key, reads).await;
        self.with_slot(key, |slot| slot.reread = Some((version, self.clock.now())));
        fetched
    }

    /// Reads again what has used up 80 % of its time to live, could not be had or is wanted by a call, so that no
    /// call has to wait for it. To be called from time to time, say each tenth of the time to live.
    pub async fn refresh_due(&self) {
        let renew = |key: KeyMetadata| async move { drop(self.renew(&key).await) }; // kept in the slot
        a_few_at_a_time(self.due(), renew).await;
    }

    /// The keys whose secrets are to be read again now.
    pub(crate) fn due(&self) -> Vec<KeyMetadata> {
        let now = self.clock.now();
        let slots = self.lock();
        let due = slots.by_key.values().filter(|slot| slot.refresh_at.is_some_and(|at| at <= now));
        due.map(|slot| slot.key.clone()).collect()
    }

    /// One read of the store, unless somebody is at it already.
    pub(crate) async fn renew(&self, key: &KeyMetadata) -> Option<Fetched> {
        let (gate, reads) = self.with_slot(key, |slot| (Arc::clone(&slot.gate), slot.reads));
        let _reader = gate.try_lock().ok()?;
        Some(self.read(key, reads).await)
    }

    /// Somebody could not wait for this secret: it is due now, and until a read of it succeeds.
    pub(crate) fn want(&self, key: &KeyMetadata) {
        let now = self.clock.now();
        self.with_slot(key, |slot| slot.refresh_at = Some(now));
        self.wanted.notify_one();
    }

    /// Completes when a secret is wanted.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Reads the secrets of these keys as far as none is held, all in one question to the store. What could not be
    /// had, in the order of the keys.
    pub async fn preload(&self, keys: Vec<KeyMetadata>) -> Vec<(KeyMetadata, SecretError)> {
        let (mut asked, mut readers) = (Vec::new(), Vec::new());
        for key in &keys {
            let (gate, held) = self.with_slot(key, |slot| (Arc::clone(&slot.gate), slot.held()));
            if held.is_none()
                && let Ok(reader) = gate.try_lock_owned()
            {
                asked.push(key.clone());
                readers.push(reader);
            }
        }
        let began = self.clock.now();
        let places: Vec<String> = asked.iter().map(|key| self.store.locator(key)).collect();
        let mut fetched = self.store.fetch_all(&asked).await.into_iter();
        for (key, place) in asked.iter().zip(&places) {
            let fetched = fetched.next().unwrap_or_else(|| Err(unanswered(place)));
            let _ = self.settle(key, place, fetched, began); // a failure is kept in the slot
        }
        drop(readers);
        let failed = a_few_at_a_time(keys, |key| async move { Some((self.get(&key).await.err()?, key)) });
        failed.await.into_iter().flatten().map(|(error, key)| (key, error)).collect()
    }

    /// Forgets the secrets of all other keys, and of those whose secret is now found elsewhere.
    pub fn retain<'k>(&self, keys: impl IntoIterator<Item = &'k KeyMetadata>) {
        let places: Map<&KeyId, String> =
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
        self.settle(key, &locator, fetched, began)
    }

    fn settle(
        &self,
        key: &KeyMetadata,
        locator: &str,
        fetched: Result<SecretString, SecretError>,
        began: Instant,
    ) -> Fetched {
        let ended = self.clock.now();
        match self.lock().by_key.get_mut(&key.key_id) {
            Some(slot) if slot.locator == locator => slot.settle(fetched, began, ended, self.ttl),
            // forgotten or moved meanwhile: good for this caller only
            _ => {
                fetched.map(|secret| Arc::new(VersionedSecret { secret, version: 0, is_replacement: false }))
            }
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

fn unanswered(locator: &str) -> SecretError {
    SecretError::new(SecretErrorKind::Unavailable, locator, "the store gave no answer for this key")
}

impl fmt::Debug for SecretCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretCache")
            .field("store", &self.store)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
