//! Secrets in use: how one that was replaced, refused or lost is noticed, and what follows for its key.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use crate::cached_slot::{Fetched, VersionedSecret};
use crate::concurrent::a_few_at_a_time;
use crate::key::{KeyId, KeyMetadata};
use crate::lease::Leased;
use crate::outcome::Scope;
use crate::plan::Tried;
use crate::pool::KeyPool;
use crate::request::KeyRequest;
use crate::roster::Tick;
use crate::secret_error::SecretError;

/// So long a call waits for a secret to be read while another key could serve it. Stores answer in a few to a few
/// hundred milliseconds.
const GRACE: Duration = Duration::from_millis(250);
/// A secret that could not be had is asked for again after this time.
const SECRET_RETRY: Tick = 10_000;

/// What is known of a secret that the provider has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reread {
    /// It is another one now, or was already when the refusal came.
    Replaced,
    /// The store holds the same, or has said why it cannot tell.
    Same,
    /// The store has yet to answer: another key was free, so nobody waited.
    Unknown,
}

impl KeyPool {
    /// Reads secrets that are about to expire, and those that could not be had or waited for. Call it every few
    /// seconds, and when [`secret_wanted`](Self::secret_wanted) completes, from a task of yours. From its first call
    /// on no call of a pool with a free key waits longer for the store than a quarter of a second.
    pub async fn refresh_secrets(&self) {
        self.inner.refreshed.store(true, Ordering::Relaxed);
        let renew = |key: KeyMetadata| async move {
            match self.inner.secrets.renew(&key).await {
                // while a value is held, a store that is down takes nothing away
                Some(Err(_)) if self.inner.secrets.peek(&key.key_id).is_some() => {}
                Some(fetched) => self.noted(&key, &fetched),
                None => {}
            }
            self.cure().await; // at once: the store may be slow with another key
        };
        a_few_at_a_time(self.inner.secrets.due(), renew).await;
        self.cure().await;
        self.measure_blocked(); // what has come back meanwhile
    }

    /// Completes when a call could not wait for a secret that the store was slow to give:
    /// [`refresh_secrets`](Self::refresh_secrets) reads it, in a task of its own, as that may take as long as the
    /// store is waited for.
    pub async fn secret_wanted(&self) {
        self.inner.secrets.wanted().await;
    }

    /// The provider refused the secret of a lease: reads it once more, for all whose calls were refused. Not beyond a
    /// moment if another key could serve the request.
    pub(crate) async fn reread(&self, leased: &Leased, request: &KeyRequest, tried: &Tried) -> Reread {
        let key = &*leased.key;
        let read = self.inner.secrets.rejected(key, leased.secret.version);
        let Some(fetched) = self.while_nobody_else(request, tried, &key.key_id, read).await else {
            self.inner.secrets.want(key);
            return Reread::Unknown;
        };
        self.noted(key, &fetched);
        self.cure().await;
        match fetched {
            Ok(current) if current.version != leased.secret.version => Reread::Replaced,
            _ => Reread::Same,
        }
    }

    /// The same at a later moment: a call that was under way for longer than a secret lasted says nothing about the
    /// one that followed, whatever became of it.
    pub(crate) fn reread_since(&self, leased: &Leased, reread: Reread) -> Reread {
        match self.inner.secrets.peek(&leased.key.key_id) {
            Some(current) if current.version != leased.secret.version => Reread::Replaced,
            _ => reread,
        }
    }

    /// The key's secret: the held one, or read now. `None` if it cannot be had, or not soon enough, which is noted.
    pub(crate) async fn secret_of(
        &self,
        key: &KeyMetadata,
        fresh: bool,
        request: &KeyRequest,
        tried: &Tried,
    ) -> Option<Arc<VersionedSecret>> {
        let held = self.inner.secrets.peek(&key.key_id);
        if held.is_some() && !fresh {
            return held;
        }
        Box::pin(self.read_secret(key, held, request, tried)).await // boxed: seldom, and large
    }

    async fn read_secret(
        &self,
        key: &KeyMetadata,
        held: Option<Arc<VersionedSecret>>,
        request: &KeyRequest,
        tried: &Tried,
    ) -> Option<Arc<VersionedSecret>> {
        let read = async {
            match held {
                Some(held) => self.inner.secrets.rejected(key, held.version).await,
                None => self.inner.secrets.get(key).await,
            }
        };
        // without somebody who refreshes, nobody else would ever finish a slow read
        let fetched = match self.inner.refreshed.load(Ordering::Relaxed) {
            true => self.while_nobody_else(request, tried, &key.key_id, read).await,
            false => Some(read.await),
        };
        let Some(fetched) = fetched else {
            self.inner.secrets.want(key);
            self.pass_over(key, "the store has yet to answer".to_owned());
            return None;
        };
        self.noted(key, &fetched);
        self.cure().await;
        fetched.ok()
    }

    /// Waits for a read as long as no other key could serve the request, and for a moment in any case.
    async fn while_nobody_else<T>(
        &self,
        request: &KeyRequest,
        tried: &Tried,
        key: &KeyId,
        read: impl Future<Output = T>,
    ) -> Option<T> {
        let clock = &self.inner.clock;
        let mut read = pin!(read);
        let mut others = None;
        loop {
            let mut moment = None;
            let done = poll_fn(|context| match read.as_mut().poll(context) {
                Poll::Ready(fetched) => Poll::Ready(Some(fetched)),
                Poll::Pending => moment
                    .get_or_insert_with(|| clock.sleep_until(clock.now() + GRACE))
                    .as_mut()
                    .poll(context)
                    .map(|()| None),
            });
            if let Some(fetched) = done.await {
                return Some(fetched);
            }
            let others = others.get_or_insert_with(|| {
                let mut others = tried.clone();
                others.keys.push(key.clone());
                others
            });
            if self.is_ready(request, others) {
                return None;
            }
        }
    }

    /// Takes over what a read of the store has shown.
    pub(crate) fn noted(&self, key: &KeyMetadata, fetched: &Fetched) {
        match fetched {
            Ok(current) => self.secret_is(key, current),
            Err(error) => self.secret_failed(key, error),
        }
    }

    fn secret_is(&self, key: &KeyMetadata, current: &VersionedSecret) {
        let now = self.tick();
        let mut shared = self.lock();
        let Some(&index) = shared.state.key_index.get(&key.key_id) else { return };
        let slot = &mut shared.state.keys[index as usize];
        let replaced = current.is_replacement && current.version > slot.secret_version;
        slot.secret_version = slot.secret_version.max(current.version);
        let is_back = slot.secret.take().is_some();
        if replaced {
            slot.counters.secret_changes += 1;
            slot.counters.last_error = None; // it was said of the old one
            shared.cures.push(key.key_id.clone());
        }
        if is_back {
            shared.state.key_changed(index, now);
        }
        drop(shared);
        if is_back {
            self.inner.waiters.wake();
        }
        if replaced {
            tracing::info!(key_id = key.key_id.as_str(), "secret replaced");
        }
    }

    pub(crate) fn secret_failed(&self, key: &KeyMetadata, error: &SecretError) {
        let text = error.to_string();
        if self.pass_over(key, text) {
            tracing::warn!(key_id = key.key_id.as_str(), %error, "no secret");
        }
    }

    /// The key is not used for a while; true if that, or the reason, is news.
    fn pass_over(&self, key: &KeyMetadata, why: String) -> bool {
        let now = self.tick();
        let mut shared = self.lock();
        let Some(&index) = shared.state.key_index.get(&key.key_id) else { return true };
        let slot = &mut shared.state.keys[index as usize];
        let is_news = slot.secret.as_ref().is_none_or(|(_, known)| *known != why);
        slot.secret = Some((now + SECRET_RETRY, why));
        shared.state.key_changed(index, now);
        is_news
    }

    /// A key whose secret was replaced starts clean, once for each replacement: what the new secret earns stays.
    pub(crate) async fn cure(&self) {
        loop {
            let Some(key) = self.lock().cures.last().cloned() else { return };
            self.pardon(std::iter::once(key.clone())).await;
            self.settle(None, Vec::new(), None).await; // brings the changed record
            self.lock().cures.retain(|cured| *cured != key);
            self.inner.waiters.wake();
        }
    }

    pub(crate) async fn pardon(&self, keys: impl Iterator<Item = KeyId>) {
        for key in keys {
            if let Err(error) = self.inner.limiter.reset(&Scope::Key(key)).await {
                tracing::warn!(%error, "a cooldown could not be lifted");
            }
        }
    }
}
