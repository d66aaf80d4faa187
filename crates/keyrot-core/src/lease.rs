//! One key, handed out for one attempt.
//!
//! A [`KeyLease`] has not been sent: dropping it gives everything back. [`KeyLease::begin`] is the
//! moment of sending and hands out the secret; an [`ActiveLease`] that is dropped is neutral and
//! counted as abandoned, its request stays spent.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::cached_slot::VersionedSecret;
use crate::counter::Tally;
use crate::key::{KeyId, KeyMetadata, Limits, ModelName, ProjectId};
use crate::limit::{Disposition, Group, Millis, Reservation, Settlement};
use crate::outcome::{Outcome, Usage};
use crate::plan::Tried;
use crate::pool::KeyPool;
use crate::probe::ProbeMarks;
use crate::request::KeyRequest;
use crate::slots::Spot;
use crate::verdict::Next;

pub(crate) struct Leased {
    pub(crate) pool: KeyPool,
    pub(crate) key: Arc<KeyMetadata>,
    pub(crate) group: Arc<Group>,
    pub(crate) limits: Limits,
    pub(crate) spot: Spot,
    pub(crate) secret: Arc<VersionedSecret>,
    /// Taken out when it is settled.
    pub(crate) reservation: Option<Reservation>,
    /// The limiter's time when it was leased.
    pub(crate) since: Millis,
    pub(crate) send_by: Instant,
    pub(crate) marks: ProbeMarks,
}

impl Leased {
    /// One call of this key, nothing counted yet.
    pub(crate) fn tally(&self) -> Tally {
        Tally { key: self.key.key_id.clone(), used_at: self.since, successes: 0, errors: 0, abandoned: 0 }
    }
}

/// A key with its reservation, before the call is sent.
#[must_use = "a lease that is dropped gives its quota back"]
pub struct KeyLease {
    /// Boxed: a lease is handed on many times on the path of every call.
    leased: Option<Box<Leased>>,
}

/// A key whose call is under way. Report what became of it.
#[must_use = "report the outcome: an abandoned lease teaches the pool nothing"]
pub struct ActiveLease {
    leased: Option<Box<Leased>>,
    begun: Instant,
}

/// The lease may no longer be sent: its scope was blocked meanwhile, or it was held for too long.
/// Its quota was given back; acquire again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseExpired;

impl fmt::Display for LeaseExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease may no longer be sent; acquire another one")
    }
}

impl std::error::Error for LeaseExpired {}

macro_rules! lease_getters {
    ($type:ty) => {
        impl $type {
            /// The key's id.
            pub fn key_id(&self) -> &KeyId {
                &self.leased().key.key_id
            }

            /// The entry of keys.json.
            pub fn key(&self) -> &KeyMetadata {
                &self.leased().key
            }

            /// The project that pays.
            pub fn project(&self) -> &ProjectId {
                &self.leased().group.project
            }

            /// The model to call.
            pub fn model(&self) -> &ModelName {
                &self.leased().group.model
            }

            fn leased(&self) -> &Leased {
                self.leased.as_deref().expect("a lease is whole until it is consumed")
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = f.debug_struct(stringify!($type));
                if let Some(leased) = &self.leased {
                    out.field("key_id", &leased.key.key_id).field("group", &leased.group);
                }
                out.finish_non_exhaustive()
            }
        }
    };
}

lease_getters!(KeyLease);
lease_getters!(ActiveLease);

impl KeyLease {
    pub(crate) fn new(leased: Leased) -> Self {
        Self { leased: Some(Box::new(leased)) }
    }

    /// The call is sent now: hands out the secret.
    ///
    /// # Errors
    /// [`LeaseExpired`] if the key, its project or its model was blocked since the lease was made,
    /// or if it was held for more than half a second.
    pub fn begin(mut self) -> Result<ActiveLease, LeaseExpired> {
        let Some(leased) = self.leased.take() else { return Err(LeaseExpired) };
        let begun = leased.pool.begin(&leased);
        let active = ActiveLease { leased: Some(leased), begun: begun.unwrap_or_else(|now| now) };
        if begun.is_err() {
            drop(Self { leased: ActiveLease::into_leased(active) });
            return Err(LeaseExpired);
        }
        Ok(active)
    }
}

impl Drop for KeyLease {
    fn drop(&mut self) {
        if let Some(mut leased) = self.leased.take() {
            let released = leased
                .reservation
                .take()
                .map(|reservation| Settlement { reservation, disposition: Disposition::Release });
            leased.pool.give_back(&leased, released);
        }
    }
}

impl ActiveLease {
    /// The secret, for the header of this one call. Never put it into a URL.
    pub fn secret(&self) -> &SecretString {
        &self.leased().secret.secret
    }

    /// How long the call has been under way.
    pub fn elapsed(&self) -> Duration {
        self.leased().pool.clock().now().saturating_duration_since(self.begun)
    }

    /// First content of a stream has arrived: the scope works, and the input tokens are settled if
    /// they are known. Success still counts only when the stream is complete.
    pub async fn first_content(&mut self, usage: Usage) {
        let Some(leased) = &mut self.leased else { return };
        if let Some(reservation) = leased.reservation.take() {
            let sent = Disposition::Sent { input_tokens: usage.input_tokens, proven: true };
            let pool = leased.pool.clone();
            pool.settle(Some(Settlement { reservation, disposition: sent }), Vec::new(), None).await;
        }
    }

    /// The call succeeded.
    pub async fn succeeded(self, usage: Usage) {
        pin!(self.conclude(&Outcome::success(usage), None)).await;
    }

    /// What became of the call. For failover use [`KeyPool::run`] or [`KeyPool::call`].
    pub async fn report(self, outcome: Outcome) {
        pin!(self.conclude(&outcome, None)).await;
    }

    /// `of` is the request that the call is for and what it has tried before, if it goes on.
    pub(crate) async fn conclude(mut self, outcome: &Outcome, of: Option<(&KeyRequest, &Tried)>) -> Next {
        let Some(mut leased) = self.leased.take() else { return Next::Stop };
        let reservation = leased.reservation.take();
        pin!(leased.pool.conclude(&leased, reservation, outcome, self.begun, of)).await
    }

    pub(crate) fn identity(&self) -> (Arc<Group>, KeyId) {
        let leased = self.leased();
        (Arc::clone(&leased.group), leased.key.key_id.clone())
    }

    fn into_leased(mut lease: Self) -> Option<Box<Leased>> {
        lease.leased.take()
    }
}

impl Drop for ActiveLease {
    fn drop(&mut self) {
        if let Some(mut leased) = self.leased.take() {
            let spent = leased.reservation.take().map(|reservation| Settlement {
                reservation,
                disposition: Disposition::Sent { input_tokens: None, proven: false },
            });
            leased.pool.abandon(&leased, spent);
        }
    }
}
