//! The way of the pool's reports to its limiter, and of the limiter's news back.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tracing::Instrument;

use crate::counter::Tally;
use crate::limit::{LimiterError, Millis, ScopeChange, SettleBatch, Settlement, Verdict};
use crate::pool::{KeyPool, Shared};
use crate::roster::Tick;

/// What is left of leases that were dropped.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) tallies: Vec<Tally>,
}

impl KeyPool {
    /// Takes over blocks that other processes have caused.
    pub(crate) async fn learn_blocks(&self) -> Result<(), LimiterError> {
        let seen = self.lock().seen;
        let reply = self.inner.limiter.reserve(&[], &[], seen).await?;
        if !reply.changed.is_empty() {
            let now = self.tick();
            self.lock().learn(&reply.changed, reply.generation, reply.now, now);
            self.inner.waiters.wake();
        }
        Ok(())
    }

    /// Dropping cannot wait: whoever settles or acquires next takes this along.
    pub(crate) fn queue(&self, settlement: Option<Settlement>, tally: Option<Tally>) {
        if settlement.is_some() || tally.is_some() {
            let mut dropped = self.inner.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            dropped.settlements.extend(settlement);
            dropped.tallies.extend(tally);
            drop(dropped);
            self.inner.some_dropped.store(true, Ordering::Release);
        }
        self.inner.waiters.wake();
    }

    pub(crate) async fn settle_dropped(&self) {
        if self.inner.some_dropped.load(Ordering::Acquire) {
            self.settle(Vec::new(), Vec::new(), None).await;
        }
    }

    /// Settles, together with what was dropped, and takes over changed blocks. A limiter that
    /// cannot be reached loses nothing that matters: its windows end by themselves.
    pub(crate) async fn settle(
        &self,
        mut settlements: Vec<Settlement>,
        verdicts: Vec<Verdict>,
        tally: Option<Tally>,
    ) {
        let mut tallies = Vec::from_iter(tally);
        if self.inner.some_dropped.swap(false, Ordering::AcqRel) {
            let mut dropped = self.inner.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            settlements.append(&mut dropped.settlements);
            tallies.append(&mut dropped.tallies);
        }
        let batch = {
            let mut shared = self.lock();
            SettleBatch {
                epoch: self.inner.epoch,
                number: self.inner.batches.fetch_add(1, Ordering::Relaxed),
                seen: shared.seen,
                settlements,
                jitter: if verdicts.is_empty() { 0 } else { shared.rng.u16(..=1000) },
                verdicts,
                tallies,
                backoff: self.inner.backoff,
            }
        };
        let (settlements, verdicts) = (batch.settlements.len(), batch.verdicts.len());
        let span = tracing::debug_span!("keyrot.settle", settlements, verdicts);
        match self.inner.limiter.settle(batch).instrument(span).await {
            Ok(settled) => {
                let wake = !settled.changed.is_empty() || !settled.freed.is_empty();
                if wake {
                    let now = self.tick();
                    let mut shared = self.lock();
                    shared.learn(&settled.changed, settled.generation, settled.now, now);
                    for group in &settled.freed {
                        shared.state.freed(group, now);
                    }
                }
                if wake {
                    self.inner.waiters.wake();
                }
            }
            Err(error) => tracing::warn!(%error, "a call could not be settled"),
        }
    }
}

impl Shared {
    /// Takes over blocks from the limiter, whose time is `their_now`. A reply that was overtaken by a
    /// newer one holds nothing that the newer one did not.
    pub(crate) fn learn(&mut self, changed: &[ScopeChange], generation: u64, their_now: Millis, now: Tick) {
        if generation <= self.seen {
            return;
        }
        for ScopeChange { scope, record } in changed {
            let until = record.blocked(their_now).map_or(0, |until| now + (until - their_now));
            self.state.set_block(scope, record, until, now);
        }
        self.seen = generation;
    }
}
