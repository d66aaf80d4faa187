//! The limiter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, KeyId, LimiterError, LimiterMode, RateLimiter, Reserved, Scope, SettleBatch, Settled,
    Snapshot,
};

use crate::address::RedisAddress;
use crate::callers::Together;
use crate::error;
use crate::group_commit::GroupCommit;
use crate::reply::bytes_of;
use crate::reserve_call::{Call, Offered};
use crate::server::Server;
use crate::settle_call::Report;

/// Candidates of one question: one round trip of the server's time stays short.
const CANDIDATES: usize = 16;

/// Counts for every process that uses the same Redis and the same pool. Clones share the connection.
/// Made by [`RedisOptions::limiter`](crate::RedisOptions::limiter).
#[derive(Clone)]
pub struct RedisLimiter {
    server: Arc<Server>,
    questions: Arc<GroupCommit<Questions>>,
    reports: Arc<GroupCommit<Reports>>,
    one_by_one: bool,
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter").field("server", &self.server).finish_non_exhaustive()
    }
}

struct Questions(Arc<Server>);

#[async_trait]
impl Together for Questions {
    type Question = Call;
    type Answer = Reserved;

    async fn ask(&self, calls: &[Call]) -> Result<Vec<Reserved>, LimiterError> {
        self.0.reserve(calls).await
    }

    fn limit(&self) -> Duration {
        self.0.timeout
    }

    fn too_slow(&self) -> LimiterError {
        self.0.too_slow()
    }
}

struct Reports(Arc<Server>);

#[async_trait]
impl Together for Reports {
    type Question = Report;
    type Answer = Settled;

    async fn ask(&self, reports: &[Report]) -> Result<Vec<Settled>, LimiterError> {
        self.0.settle(reports).await
    }

    fn limit(&self) -> Duration {
        self.0.timeout
    }

    fn too_slow(&self) -> LimiterError {
        self.0.too_slow()
    }
}

impl RedisLimiter {
    pub(crate) fn new(server: Server, one_by_one: bool) -> Self {
        let server = Arc::new(server);
        let questions = Arc::new(GroupCommit::new(Questions(Arc::clone(&server))));
        let reports = Arc::new(GroupCommit::new(Reports(Arc::clone(&server))));
        Self { server, questions, reports, one_by_one }
    }

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
        let candidates = candidates.iter().map(Offered::of).collect();
        let call = Call { candidates, asks: asks.to_vec(), seen };
        if self.one_by_one {
            // boxed: whoever goes along with others would carry its weight too
            let mut replies = Box::pin(self.server.reserve(&[call])).await?;
            return replies.pop().ok_or_else(|| error::not_understood(&self.server.address));
        }
        self.questions.ask(call).await
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.reports.ask(Report::Batch(batch)).await
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
        self.reports.ask(Report::Reset(scope.clone())).await.map(drop)
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
