//! The limiter.

use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, KeyId, LimiterError, LimiterMode, RateLimiter, Reserved, Scope, SettleBatch, Settled,
    Snapshot,
};

use crate::reserve_call::Call;
use crate::server::Server;
use crate::settle_call::Report;

/// Candidates of one question: one round trip of the server's time stays short.
const CANDIDATES: usize = 16;

/// Counts for every process that uses the same Redis and the same pool. Clones share the connection.
/// Made by [`RedisOptions::limiter`](crate::RedisOptions::limiter).
#[derive(Clone, Debug)]
pub struct RedisLimiter {
    pub(crate) server: Arc<Server>,
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    async fn reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let call = Call { candidates: candidates.to_vec(), asks: asks.to_vec(), seen };
        let replies = self.server.reserve(&[call]).await?;
        Ok(replies.into_iter().next().unwrap_or_default())
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        let replies = self.server.settle(&[Report::Batch(batch)]).await?;
        Ok(replies.into_iter().next().unwrap_or_default())
    }

    async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        self.server.snapshot(groups, scopes, keys).await
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        self.server.settle(&[Report::Reset(scope.clone())]).await.map(drop)
    }

    async fn recall(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.server.recall(Report::Batch(batch)).await
    }

    fn candidates_at_once(&self) -> usize {
        CANDIDATES
    }

    fn mode(&self) -> LimiterMode {
        LimiterMode::shared("redis")
    }
}
