//! The limiter.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, KeyId, LimiterError, LimiterErrorKind, LimiterMode, RateLimiter, Reserved, Scope,
    SettleBatch, Settled, Snapshot,
};
use tokio::sync::{mpsc, oneshot};

use crate::writer::{Question, Reply};

/// Groups of one question: a transaction stays short.
const CANDIDATES: usize = 16;

/// Counts for every process that uses the same file and the same pool. Clones share the writer.
/// Made by [`SqliteOptions::limiter`](crate::SqliteOptions::limiter).
#[derive(Clone)]
pub struct SqliteLimiter {
    questions: mpsc::UnboundedSender<Question>,
    path: Arc<Path>,
}

impl fmt::Debug for SqliteLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLimiter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteLimiter {
    pub(crate) fn new(questions: mpsc::UnboundedSender<Question>, path: Arc<Path>) -> Self {
        Self { questions, path }
    }

    /// The file that holds the records.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, LimiterError> {
        let (reply, answer) = oneshot::channel();
        let ended = || {
            let path = self.path.display();
            let message = format!("{path} cannot be used: the thread that writes it has ended");
            LimiterError::new(LimiterErrorKind::Unavailable, message)
        };
        self.questions.send(question(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
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
        self.ask(|reply| Question::Reserve { candidates, asks, seen, reply }).await
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.ask(|reply| Question::Settle { batch, reply }).await
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

    fn candidates_at_once(&self) -> usize {
        CANDIDATES
    }

    fn mode(&self) -> LimiterMode {
        LimiterMode::shared("sqlite")
    }
}
