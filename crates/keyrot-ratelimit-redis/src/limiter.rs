//! The limiter.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, KeyId, LimiterError, LimiterMode, RateLimiter, Reserved, Scope, SettleBatch, Settled,
    Snapshot,
};

use crate::address::RedisAddress;
use crate::reply::bytes_of;
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

impl RedisLimiter {
    /// Asks the server for a sign of life; how long it took.
    ///
    /// # Errors
    /// [`Unavailable`](keyrot_core::LimiterErrorKind::Unavailable), which says why.
    pub async fn ping(&self) -> Result<Duration, LimiterError> {
        let before = self.server.clock.now();
        self.server.command(&redis::cmd("PING")).await?;
        Ok(self.server.clock.now().saturating_duration_since(before))
    }

    /// The server's `maxmemory-policy`, if it says so. With anything but `noeviction` it may forget counts.
    pub async fn eviction(&self) -> Option<String> {
        let reply = self.server.command(redis::cmd("INFO").arg("memory")).await.ok()?;
        let text = String::from_utf8(bytes_of(reply)?).ok()?;
        let policy = text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
        Some(policy.trim().to_owned())
    }

    /// Where it counts, without credentials.
    pub fn address(&self) -> &RedisAddress {
        &self.server.address
    }
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

    async fn processes(&self, me: u64) -> Result<u32, LimiterError> {
        self.server.processes(me).await
    }

    fn candidates_at_once(&self) -> usize {
        CANDIDATES
    }

    fn mode(&self) -> LimiterMode {
        LimiterMode::shared("redis")
    }
}
