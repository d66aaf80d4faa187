//! The limiter of the process, with a count of what it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, KeyId, LimiterError, LocalLimiter, RateLimiter, Reserved, Scope, SettleBatch, Settled,
    Snapshot,
};

/// Clones share limiter and count.
#[derive(Clone, Debug)]
pub struct CountingLimiter {
    limiter: LocalLimiter,
    reserves: Arc<AtomicUsize>,
    at_once: usize,
}

impl CountingLimiter {
    /// Counts what `limiter` is asked.
    pub fn new(limiter: LocalLimiter) -> Self {
        Self { limiter, reserves: Arc::default(), at_once: 1 }
    }

    /// As a limiter for which each question is a round trip.
    #[must_use]
    pub fn far_away(mut self) -> Self {
        self.at_once = 16;
        self
    }

    /// How often somebody has looked for room.
    pub fn reserves(&self) -> usize {
        self.reserves.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl RateLimiter for CountingLimiter {
    async fn reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        self.reserves.fetch_add(1, Ordering::Relaxed);
        self.limiter.reserve(candidates, asks, seen).await
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.limiter.settle(batch).await
    }

    async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        self.limiter.snapshot(groups, scopes, keys).await
    }

    fn candidates_at_once(&self) -> usize {
        self.at_once
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        self.limiter.reset(scope).await
    }
}
