//! The limiter.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, KeyId, LimiterError, LimiterErrorKind, LimiterMode, RateLimiter, Reserved, Scope,
    SettleBatch, Settled, Snapshot,
};
use tokio::sync::oneshot;

use crate::line::{Ended, Line};
use crate::question::{Question, Reply};

/// Groups of one question: a transaction stays short.
const CANDIDATES: usize = 16;

/// Counts for every process that uses the same file and the same pool. Clones share the writer.
/// Made by [`SqliteOptions::limiter`](crate::SqliteOptions::limiter).
#[derive(Clone)]
pub struct SqliteLimiter {
    line: Line,
    path: Arc<Path>,
}

impl fmt::Debug for SqliteLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLimiter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteLimiter {
    pub(crate) fn new(line: Line, path: Arc<Path>) -> Self {
        Self { line, path }
    }

    /// The file that holds the records.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, LimiterError> {
        let (reply, answer) = oneshot::channel();
        self.line.put(question(reply)).await.map_err(|Ended| self.ended())?;
        answer.await.map_err(|_| self.ended())?
    }

    fn ended(&self) -> LimiterError {
        let path = self.path.display();
        let message = format!("{path} cannot be used: the thread that writes it has ended");
        LimiterError::new(LimiterErrorKind::Unavailable, message)
    }
}

/// Somebody who waits for a grant. If he goes away just when it has come, it is given back.
struct Waiting<'l> {
    answer: oneshot::Receiver<Result<Reserved, LimiterError>>,
    line: &'l Line,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.answer.close(); // what comes later stays with the writer
        if let Ok(Ok(reserved)) = self.answer.try_recv() {
            let taken = reserved.grants.into_iter().map(|grant| grant.reservation).collect();
            let _ = self.line.send(Question::GiveBack(taken)); // without a writer its windows end by themselves
        }
    }
}

#[async_trait]
impl RateLimiter for SqliteLimiter {
    async fn reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let (candidates, asks) = (candidates.to_vec(), asks.to_vec());
        let (reply, answer) = oneshot::channel();
        let question = Question::Reserve { candidates, asks, seen, reply };
        let mut waiting = Waiting { answer, line: &self.line };
        self.line.put(question).await.map_err(|Ended| self.ended())?;
        (&mut waiting.answer).await.map_err(|_| self.ended())?
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.ask(|reply| Question::Settle { batch, recalls: false, reply }).await
    }

    async fn recall(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.ask(|reply| Question::Settle { batch, recalls: true, reply }).await
    }

    async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        let (groups, scopes, keys) = (groups.to_vec(), scopes.to_vec(), keys.to_vec());
        self.ask(|reply| Question::Snapshot { groups, scopes, keys, reply }).await
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        let scope = scope.clone();
        self.ask(|reply| Question::Reset { scope, reply }).await
    }

    async fn processes(&self, me: u64) -> Result<u32, LimiterError> {
        self.ask(|reply| Question::Processes { me, reply }).await
    }

    fn candidates_at_once(&self) -> usize {
        CANDIDATES
    }

    fn mode(&self) -> LimiterMode {
        LimiterMode::shared("sqlite")
    }
}
