//! A shared limiter that may fail, and what holds while it is away. Any limiter can be guarded.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use async_trait::async_trait;

use crate::books;
use crate::clock::Clock;
use crate::failure_policy::{FailurePolicy, HERE, OwnBooks, Spends, THERE};
use crate::key::KeyId;
use crate::limit::{
    Ask, Candidate, LimiterError, LimiterErrorKind, LimiterMode, Millis, RateLimiter, Reserved, SettleBatch,
    Settled, Snapshot,
};
use crate::measured;
use crate::outcome::Scope;

/// A limiter that is away is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// A caller who has waited for one answer of the limiter waits so long for all that follows from it.
const REST_WAITS: Duration = Duration::from_millis(80);

/// Guards a limiter that many processes share: while it cannot be reached its [`FailurePolicy`] holds,
/// and when it is back it is told what was granted meanwhile before anything else is asked of it.
///
/// This process keeps books of its own all the time. They are what `share` spends from, what a
/// limiter that has lost its memory is told, and what holds beside it in the first minute after that:
/// until the others have told it theirs, nobody takes more than his part.
///
/// Nothing runs by itself: call [`tend`](Self::tend) every second or so from a task of yours.
pub struct GuardedLimiter {
    pub(crate) limiter: Arc<dyn RateLimiter>,
    policy: FailurePolicy,
    clock: Arc<dyn Clock>,
    /// Names this process to the others.
    pub(crate) me: u64,
    pub(crate) processes: AtomicU32,
    state: Mutex<State>,
    /// One at a time tells the limiter what it does not know.
    pub(crate) telling: tokio::sync::Mutex<()>,
    pub(crate) batches: AtomicU64,
    /// How far the limiter's clock is ahead of ours, in ms.
    ahead: AtomicI64,
}

pub(crate) struct State {
    pub(crate) own: OwnBooks,
    /// When the limiter is tried again, if it is away.
    pub(crate) away: Option<Instant>,
    /// Until then nobody takes more than his part, by the limiter's time.
    pub(crate) sharing_until: Millis,
    /// What is added to generations, so that they never go back when their source changes.
    pub(crate) base: u64,
    handed: u64,
    pub(crate) reports: VecDeque<SettleBatch>,
    /// What the limiter was told without an answer, and whether that was everything: it may have arrived.
    pub(crate) untold: Option<(bool, SettleBatch)>,
    /// How often the limiter was told something.
    pub(crate) told: u64,
    /// It has answered once.
    was_there: bool,
}

impl fmt::Debug for GuardedLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedLimiter")
            .field("limiter", &self.limiter)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl GuardedLimiter {
    /// `processes` is how many share the limiter as long as it has not said so itself; `me` is a random
    /// number that names this process. A limiter that can lose its memory must say so
    /// ([`Forgot`](LimiterErrorKind::Forgot)).
    pub fn new(
        limiter: Arc<dyn RateLimiter>,
        policy: FailurePolicy,
        clock: Arc<dyn Clock>,
        processes: u32,
        me: u64,
    ) -> Self {
        let state = State {
            own: OwnBooks::default(),
            away: None,
            sharing_until: 0,
            base: 0,
            handed: 0,
            reports: VecDeque::new(),
            untold: None,
            told: 0,
            was_there: false,
        };
        Self {
            limiter,
            policy,
            clock,
            me,
            processes: AtomicU32::new(processes.max(1)),
            state: Mutex::new(state),
            telling: tokio::sync::Mutex::default(),
            batches: AtomicU64::new(1),
            ahead: AtomicI64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_away(&self) -> bool {
        self.lock().away.is_some()
    }

    /// The limiter's time as far as we know.
    pub(crate) fn now(&self) -> Millis {
        let wall = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX / 2);
        wall.saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    pub(crate) fn note_time(&self, theirs: Millis) {
        let wall = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let ahead = i64::try_from(theirs).unwrap_or(0) - i64::try_from(wall).unwrap_or(0);
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self, error: &LimiterError) {
        let now = self.now();
        let mut state = self.lock();
        if state.away.is_none() {
            if state.was_there {
                state.own.note_loss(now);
            }
            tracing::warn!(%error, policy = self.policy.name(), "the shared limiter is away: its failure policy holds");
            state.change_source();
            let mode = self.limiter.mode();
            measured::limiter_outage(mode.name);
            measured::limiter_mode(&mode.degraded(self.policy.name()));
        }
        state.away = Some(self.clock.now() + TRY_AGAIN);
    }

    /// True for one caller, when it is time.
    pub(crate) fn may_try(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let due = state.away.is_some_and(|at| at <= now);
        if due {
            state.away = Some(now + TRY_AGAIN);
        }
        due
    }

    pub(crate) async fn reserve_there(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let told = self.lock().told;
        match self.grant_there(candidates, asks, seen).await {
            Err(error) if error.kind() == LimiterErrorKind::Forgot => {
                let rest = async {
                    self.remind(told).await?;
                    self.grant_there(candidates, asks, seen).await
                };
                self.briefly(rest).await
            }
            answer => answer,
        }
    }

    async fn grant_there(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let seen_there = seen.saturating_sub(self.lock().base);
        let mut reply = self.ask_there(candidates, asks, seen_there).await?;
        self.note_time(reply.now);
        let mut state = self.lock();
        state.was_there = true;
        state.own.note_changes(reply.now, &reply.changed)?;
        reply.generation = state.hand_out(reply.generation, seen);
        Ok(reply)
    }

    /// What follows from an answer that a caller has waited for already: he does not wait as long again.
    pub(crate) async fn briefly<T>(
        &self,
        rest: impl Future<Output = Result<T, LimiterError>>,
    ) -> Result<T, LimiterError> {
        tokio::time::timeout(REST_WAITS, rest).await.unwrap_or_else(|_| {
            let text = "the limiter answers, but too slowly to be told what it does not know";
            Err(LimiterError::new(LimiterErrorKind::Unavailable, text))
        })
    }

    async fn ask_there(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let processes = self.processes.load(Ordering::Relaxed);
        if processes > 1 && self.lock().sharing_until > self.now() && !asks.is_empty() {
            return self.ask_for_part(candidates, asks, seen, processes).await;
        }
        let reply = self.limiter.reserve(candidates, asks, seen).await?;
        let mut state = self.lock();
        for grant in &reply.grants {
            state.own.note_grant(reply.now, &grant.reservation)?;
        }
        Ok(reply)
    }

    fn reserve_here(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
        cause: Option<LimiterError>,
    ) -> Result<Reserved, LimiterError> {
        let (now, processes) = (self.now(), self.processes.load(Ordering::Relaxed));
        let mut state = self.lock();
        let seen_here = seen.saturating_sub(state.base);
        let mut reply = match self.policy {
            FailurePolicy::Closed if !asks.is_empty() => {
                let cause = cause.map_or_else(|| "it is away".to_owned(), |error| error.to_string());
                return Err(LimiterError::new(
                    LimiterErrorKind::Unavailable,
                    format!(
                        "calls are refused while the shared limiter cannot be asked ({cause}), because its failure \
                         policy is closed; with open or share they would go on"
                    ),
                ));
            }
            // who asks for nothing only wants to know the rests
            FailurePolicy::Open | FailurePolicy::Closed => {
                state.own.reserve(now, candidates, asks, seen_here, Spends::Anything)?
            }
            FailurePolicy::Share => {
                state.own.reserve(now, candidates, asks, seen_here, Spends::Part { processes })?
            }
        };
        reply.generation = state.hand_out(reply.generation, seen);
        Ok(reply)
    }
}

impl State {
    /// Another source of generations: what it says counts as new.
    pub(crate) fn change_source(&mut self) {
        self.base = self.handed + 1;
    }

    pub(crate) fn hand_out(&mut self, generation: u64, seen: u64) -> u64 {
        self.handed = self.handed.max(self.base.saturating_add(generation)).max(seen);
        self.base.saturating_add(generation).max(seen)
    }
}

#[async_trait]
impl RateLimiter for GuardedLimiter {
    async fn reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let answer = if self.is_away() {
            match self.return_and_reserve(candidates, asks, seen).await {
                Some(answer) => answer,
                None => return self.reserve_here(candidates, asks, seen, None),
            }
        } else {
            self.reserve_there(candidates, asks, seen).await
        };
        match answer {
            Err(error) if error.is_transient() => {
                self.lost(&error);
                self.reserve_here(candidates, asks, seen, Some(error))
            }
            answer => answer,
        }
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        let (mut own, was_away) = {
            let now = self.now();
            let mut state = self.lock();
            let away = state.away.is_some();
            let seen_here = if away { batch.seen.saturating_sub(state.base) } else { u64::MAX };
            let own = state.own.settle(now, &SettleBatch { seen: seen_here, ..batch.clone() })?;
            (own, away)
        };
        if was_away {
            let mut theirs = batch.clone();
            theirs.settlements.retain(|settlement| settlement.reservation.home == THERE);
            theirs.seen = u64::MAX;
            self.keep(theirs);
            own.generation = self.lock().hand_out(own.generation, batch.seen);
            return Ok(own);
        }
        if let Some(mut settled) = self.settle_there(&batch).await {
            let here = own.freed.into_iter().filter(|group| !settled.freed.contains(group));
            let granted_here = |group: &Arc<_>| {
                batch
                    .settlements
                    .iter()
                    .any(|one| one.reservation.home == HERE && one.reservation.group == *group)
            };
            let here: Vec<_> = here.filter(granted_here).collect();
            settled.freed.extend(here);
            return Ok(settled);
        }
        // not known yet: the next question brings what changed
        Ok(Settled { now: self.now(), generation: batch.seen, changed: Vec::new(), freed: own.freed })
    }

    async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        if !self.is_away() {
            match self.limiter.snapshot(groups, scopes, keys).await {
                Err(error) if error.is_transient() => self.lost(&error),
                answer => return answer,
            }
        }
        let now = self.now();
        books::snapshot(self.lock().own.all(), now, groups, scopes, keys)
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        let now = self.now();
        self.lock().own.reset(now, scope)?;
        self.limiter.reset(scope).await
    }

    async fn recall(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.limiter.recall(batch).await
    }

    fn candidates_at_once(&self) -> usize {
        self.limiter.candidates_at_once()
    }

    fn mode(&self) -> LimiterMode {
        let mode = self.limiter.mode();
        if self.is_away() { mode.degraded(self.policy.name()) } else { mode }
    }
}
