//! A limiter in a server that can be away, lose its memory, and keep its answers to itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, FailurePolicy, GuardedLimiter, KeyId, LimiterError, LimiterErrorKind, LocalLimiter,
    ManualClock, Millis, RateLimiter, Reserved, Scope, SettleBatch, Settled, Snapshot,
};
use tokio::sync::watch;

/// 2026-01-05T12:00:00Z.
pub(crate) const START: Millis = 1_767_614_400_000;

/// A server: it can be away, and lose its memory.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) clock: ManualClock,
    limiter: Arc<Mutex<LocalLimiter>>,
    /// Changes when the memory is lost.
    memory: Arc<AtomicU64>,
    away: Arc<AtomicBool>,
    /// What it does with what it is told.
    hears: Arc<Mutex<Hears>>,
    /// Whether answers to questions are on their way, or held back.
    answers: watch::Sender<bool>,
    processes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hears {
    AndAnswers,
    /// The answer is lost on its way.
    ButItsAnswerIsLost,
    /// No answer comes.
    Nothing,
}

impl Server {
    pub(crate) fn new(processes: u32) -> Self {
        let clock = ManualClock::default();
        clock.set_wall(UNIX_EPOCH + Duration::from_millis(START));
        let limiter = Arc::new(Mutex::new(LocalLimiter::new(Arc::new(clock.clone()))));
        Self {
            clock,
            limiter,
            memory: Arc::new(AtomicU64::new(1)),
            away: Arc::default(),
            hears: Arc::new(Mutex::new(Hears::AndAnswers)),
            answers: watch::Sender::new(true),
            processes,
        }
    }

    pub(crate) fn lose_memory(&self) {
        *self.limiter.lock().unwrap() = LocalLimiter::new(Arc::new(self.clock.clone()));
        self.memory.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn hears(&self, how: Hears) {
        *self.hears.lock().unwrap() = how;
    }

    /// A question is answered at once, but its answer arrives when this is true.
    pub(crate) fn answers_arrive(&self, arrive: bool) {
        self.answers.send_replace(arrive);
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    pub(crate) fn limiter(&self) -> LocalLimiter {
        self.limiter.lock().unwrap().clone()
    }

    pub(crate) fn guarded(&self, policy: FailurePolicy, me: u64) -> GuardedLimiter {
        let client = Client { server: self.clone(), known: AtomicU64::new(0) };
        GuardedLimiter::new(Arc::new(client), policy, Arc::new(self.clock.clone()), self.processes, me)
    }

    pub(crate) async fn requests(&self, of: &Candidate) -> (u32, u32) {
        let usage = self.limiter().snapshot(std::slice::from_ref(of), &[], &[]).await.unwrap().groups[0];
        (usage.minute_requests, usage.day_requests)
    }
}

/// One process's way to the server.
#[derive(Debug)]
struct Client {
    server: Server,
    known: AtomicU64,
}

impl Client {
    fn limiter(&self) -> Result<LocalLimiter, LimiterError> {
        match self.server.away.load(Ordering::SeqCst) {
            true => Err(LimiterError::new(LimiterErrorKind::Unavailable, "the server is away")),
            false => Ok(self.server.limiter()),
        }
    }
}

#[async_trait]
impl RateLimiter for Client {
    async fn reserve(&self, of: &[Candidate], asks: &[Ask], seen: u64) -> Result<Reserved, LimiterError> {
        let limiter = self.limiter()?;
        let memory = self.server.memory.load(Ordering::SeqCst);
        let known = self.known.compare_exchange(0, memory, Ordering::SeqCst, Ordering::SeqCst);
        if known.is_err_and(|known| known != memory) {
            return Err(LimiterError::new(LimiterErrorKind::Forgot, "the server has lost its memory"));
        }
        let answer = limiter.reserve(of, asks, seen).await;
        let _ = self.server.answers.subscribe().wait_for(|arrive| *arrive).await;
        answer
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        let limiter = self.limiter()?;
        let how = *self.server.hears.lock().unwrap();
        if how == Hears::Nothing {
            std::future::pending::<()>().await;
        }
        let settled = limiter.settle(batch).await;
        match how {
            Hears::ButItsAnswerIsLost => {
                Err(LimiterError::new(LimiterErrorKind::Unavailable, "its answer is lost"))
            }
            _ => settled,
        }
    }

    async fn snapshot(&self, a: &[Candidate], b: &[Scope], c: &[KeyId]) -> Result<Snapshot, LimiterError> {
        self.limiter()?.snapshot(a, b, c).await
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        self.limiter()?.reset(scope).await
    }

    async fn recall(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        let settled = self.settle(batch).await?;
        self.known.store(self.server.memory.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(settled)
    }

    async fn processes(&self, _me: u64) -> Result<u32, LimiterError> {
        self.limiter().map(|_| self.server.processes)
    }
}
