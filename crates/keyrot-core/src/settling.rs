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
        let reply = self.inner.limiter.reserve(&[], &[], self.seen()).await?;
        if !reply.changed.is_empty() {
            self.learn(&mut self.lock(), &reply.changed, reply.generation, (reply.now, self.tick()));
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
        if self.some_dropped() {
            Box::pin(self.settle(None, Vec::new(), None)).await; // boxed: seldom, and large
        }
    }

    /// Looked at on the path of every call, where only who takes it all along need write.
    fn some_dropped(&self) -> bool {
        self.inner.some_dropped.load(Ordering::Acquire)
    }

    /// The generation of blocks that this pool has seen.
    pub(crate) fn seen(&self) -> u64 {
        self.inner.seen.load(Ordering::Relaxed)
    }

    /// Settles, together with what was dropped, and takes over changed blocks. A limiter that
    /// cannot be reached loses nothing that matters: its windows end by themselves.
    pub(crate) async fn settle(
        &self,
        settlement: Option<Settlement>,
        verdicts: Vec<Verdict>,
        tally: Option<Tally>,
    ) {
        let batch = self.batch(settlement, verdicts, tally);
        let (settlements, verdicts) = (batch.settlements.len(), batch.verdicts.len());
        let span = tracing::debug_span!("keyrot.settle", settlements, verdicts);
        match self.inner.limiter.settle(batch).instrument(span).await {
            Ok(settled) if settled.changed.is_empty() && settled.freed.is_empty() => {}
            Ok(settled) => {
                let now = self.tick();
                let mut shared = self.lock();
                self.learn(&mut shared, &settled.changed, settled.generation, (settled.now, now));
                for group in &settled.freed {
                    shared.state.freed(group, now);
                }
                drop(shared);
                self.inner.waiters.wake();
            }
            Err(error) => tracing::warn!(%error, "a call could not be settled"),
        }
    }

    fn batch(
        &self,
        settlement: Option<Settlement>,
        verdicts: Vec<Verdict>,
        tally: Option<Tally>,
    ) -> SettleBatch {
        let (mut settlements, mut tallies) = (Vec::from_iter(settlement), Vec::from_iter(tally));
        if self.some_dropped() && self.inner.some_dropped.swap(false, Ordering::AcqRel) {
            let mut dropped = self.inner.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            settlements.append(&mut dropped.settlements);
            tallies.append(&mut dropped.tallies);
        }
        SettleBatch {
            epoch: self.inner.epoch,
            number: self.inner.batches.fetch_add(1, Ordering::Relaxed),
            seen: self.seen(),
            settlements,
            jitter: if verdicts.is_empty() { 0 } else { self.lock().rng.u16(..=1000) },
            verdicts,
            tallies,
            backoff: self.inner.backoff,
        }
    }

    /// Takes over blocks from the limiter, whose time is `theirs` at the pool's time `now`. A reply that was overtaken
    /// by a newer one holds nothing that the newer one did not.
    pub(crate) fn learn(
        &self,
        shared: &mut Shared,
        changed: &[ScopeChange],
        generation: u64,
        (theirs, now): (Millis, Tick),
    ) {
        if generation <= self.seen() {
            return;
        }
        for ScopeChange { scope, record } in changed {
            let until = record.blocked(theirs).map_or(0, |until| now + (until - theirs));
            shared.state.set_block(scope, record, until, now);
        }
        self.inner.seen.store(generation, Ordering::Relaxed);
    }
}
