//! What a guarded limiter is told: when it is back, and when it has lost its memory.

use std::sync::atomic::Ordering;

use crate::guarded::GuardedLimiter;
use crate::guarded_reports::KEPT_REPORTS;
use crate::limit::{Ask, Candidate, LimiterError, LimiterErrorKind, RateLimiter, Reserved, SettleBatch};
use crate::measured;
use crate::window::WINDOW;

/// Reports that a caller sends whose call found the limiter back; the rest is sent by and by.
const REPORTS_AT_RETURN: usize = 16;
/// While it is told, calls are granted here that it does not know either. So often it is told them as well; what is
/// left then it learns with [`GuardedLimiter::tend`].
const TOLD_AT_ONCE: usize = 4;

impl GuardedLimiter {
    /// Tries a limiter that is away, tells it what it does not know, and asks how many processes share
    /// it. Call it every second or so.
    pub async fn tend(&self) {
        measured::limiter_mode(&self.mode()); // also for a recorder that was installed late
        if self.is_away() {
            self.try_to_return().await;
        } else {
            self.tell_the_rest().await;
            self.send_reports(KEPT_REPORTS).await;
        }
        if !self.is_away()
            && let Ok(processes) = self.limiter.processes(self.me).await
        {
            // a limiter that has lost its memory, or was away for all, does not know them all at once
            let sharing = self.lock().sharing_until > self.now();
            let least = if sharing { self.processes.load(Ordering::Relaxed) } else { 1 };
            self.processes.store(processes.max(least), Ordering::Relaxed);
        }
    }

    async fn try_to_return(&self) {
        let _one = self.telling.lock().await;
        if !self.is_away() {
            return;
        }
        let back = async { self.come_back(self.has_forgotten().await?).await };
        match back.await {
            Ok(()) => self.send_reports(KEPT_REPORTS).await,
            Err(error) => self.lost(&error),
        }
    }

    /// For a caller, who waits for one answer and then not for long. `None`: it is not time to try again, or
    /// somebody is at it.
    pub(crate) async fn return_and_reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Option<Result<Reserved, LimiterError>> {
        let one = self.telling.try_lock().ok()?;
        if !self.may_try() {
            return None;
        }
        let forgot = match self.has_forgotten().await {
            Ok(forgot) => forgot,
            Err(error) => return Some(Err(error)),
        };
        let rest = async move {
            self.come_back(forgot).await?;
            drop(one);
            self.send_reports(REPORTS_AT_RETURN).await;
            self.reserve_there(candidates, asks, seen).await
        };
        Some(self.briefly(rest).await)
    }

    /// Does it answer, and has it lost its memory?
    async fn has_forgotten(&self) -> Result<bool, LimiterError> {
        match self.limiter.reserve(&[], &[], u64::MAX).await {
            Ok(reply) => {
                self.note_time(reply.now);
                Ok(false)
            }
            Err(error) if error.kind() == LimiterErrorKind::Forgot => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn come_back(&self, forgot: bool) -> Result<(), LimiterError> {
        self.tell(forgot).await?;
        tracing::info!("the shared limiter is back");
        measured::limiter_mode(&self.limiter.mode());
        Ok(())
    }

    /// Books what the limiter does not know. From then on, for a minute, nobody takes more than his part:
    /// the other processes may still have something to tell. It is no longer away.
    async fn tell(&self, mut everything: bool) -> Result<(), LimiterError> {
        for left in (0..TOLD_AT_ONCE).rev() {
            let batch;
            (everything, batch) = self.to_tell(everything);
            let told =
                if everything { self.limiter.recall(batch).await } else { self.limiter.settle(batch).await };
            let now = told?.now;
            self.note_time(now);
            let mut state = self.lock();
            state.untold = None;
            if everything && state.away.is_none() {
                state.own.note_loss(now);
            }
            state.sharing_until = now + WINDOW;
            state.told += 1;
            if everything {
                // what was settled of calls before is in the memories already
                state.reports.iter_mut().for_each(|report| report.settlements.clear());
            }
            if left == 0 || !state.own.has_away() {
                if state.away.take().is_some() {
                    state.change_source();
                }
                break;
            }
            everything = false; // the rest is what was granted meanwhile
        }
        Ok(())
    }

    /// What was told without an answer may have arrived: it is told again as it was, for the same batch counts once.
    fn to_tell(&self, everything: bool) -> (bool, SettleBatch) {
        let now = self.now();
        let mut state = self.lock();
        if let Some((all, batch)) = state.untold.as_ref().filter(|(all, _)| *all || !everything) {
            return (*all, batch.clone());
        }
        let batch = SettleBatch {
            epoch: self.me,
            number: self.batches.fetch_add(1, Ordering::Relaxed),
            seen: u64::MAX,
            verdicts: state.own.memories(now, everything),
            ..SettleBatch::default()
        };
        state.own.forget_away();
        state.untold = Some((everything, batch.clone()));
        (everything, batch)
    }

    async fn tell_the_rest(&self) {
        let _one = self.telling.lock().await;
        let has_rest = {
            let state = self.lock();
            state.away.is_none() && (state.untold.is_some() || state.own.has_away())
        };
        if has_rest && let Err(error) = self.tell(false).await {
            self.lost(&error);
        }
    }

    /// The limiter has lost its memory: the first who hears of it tells it everything, for all.
    pub(crate) async fn remind(&self, told_before: u64) -> Result<(), LimiterError> {
        let _one = self.telling.lock().await;
        {
            let state = self.lock();
            if state.told != told_before {
                return Ok(());
            }
            if state.away.is_some() {
                let text = "the limiter has lost its memory and could not be told what it does not know";
                return Err(LimiterError::new(LimiterErrorKind::Unavailable, text));
            }
        }
        tracing::warn!("the shared limiter has lost its memory: this process tells it what it knows");
        self.tell(true).await
    }
}
