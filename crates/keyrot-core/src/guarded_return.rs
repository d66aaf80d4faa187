//! What a guarded limiter is told: when it is back, and when it has lost its memory.

use std::sync::atomic::Ordering;

use crate::guarded::{GuardedLimiter, KEPT_REPORTS};
use crate::limit::{LimiterError, LimiterErrorKind, SettleBatch};
use crate::window::WINDOW;

/// Reports that a caller sends whose call found the limiter back; the rest is sent by and by.
const REPORTS_AT_RETURN: usize = 16;

impl GuardedLimiter {
    /// Tries a limiter that is away, tells it what it does not know, and asks how many processes share
    /// it. Call it every second or so.
    pub async fn tend(&self) {
        if self.is_away() {
            self.try_to_return().await;
        } else {
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

    pub(crate) async fn try_to_return(&self) -> bool {
        let _one = self.telling.lock().await;
        if !self.is_away() {
            return true;
        }
        // does it answer, and does it remember?
        let answer = match self.limiter.reserve(&[], &[], u64::MAX).await {
            Ok(reply) => {
                self.note_time(reply.now);
                self.tell(false).await
            }
            Err(error) if error.kind() == LimiterErrorKind::Forgot => self.tell(true).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => {
                {
                    let mut state = self.lock();
                    state.away = None;
                    state.change_source();
                }
                tracing::info!("the shared limiter is back");
                self.send_reports(REPORTS_AT_RETURN).await;
                true
            }
            Err(error) => {
                self.lost(&error);
                false
            }
        }
    }

    /// Books what the limiter does not know. From then on, for a minute, nobody takes more than his part:
    /// the other processes may still have something to tell.
    async fn tell(&self, everything: bool) -> Result<(), LimiterError> {
        let verdicts = self.lock().own.memories(self.now(), everything);
        let batch = SettleBatch {
            epoch: self.me,
            number: self.batches.fetch_add(1, Ordering::Relaxed),
            seen: u64::MAX,
            verdicts,
            ..SettleBatch::default()
        };
        let settled =
            if everything { self.limiter.recall(batch).await? } else { self.limiter.settle(batch).await? };
        self.note_time(settled.now);
        let mut state = self.lock();
        state.own.forget_away();
        if everything && state.away.is_none() {
            state.own.note_loss(settled.now);
        }
        state.sharing_until = settled.now + WINDOW;
        state.told += 1;
        if everything {
            // what was settled of calls before is in the memories already
            state.reports.iter_mut().for_each(|report| report.settlements.clear());
        }
        Ok(())
    }

    /// The limiter has lost its memory: the first who hears of it tells it everything, for all.
    pub(crate) async fn remind(&self, told_before: u64) -> Result<(), LimiterError> {
        let _one = self.telling.lock().await;
        if self.lock().told != told_before {
            return Ok(());
        }
        tracing::warn!("the shared limiter has lost its memory: this process tells it what it knows");
        self.tell(true).await
    }

    pub(crate) async fn send_reports(&self, at_most: usize) {
        for _ in 0..at_most {
            let next = self.lock().reports.pop_front();
            let Some(batch) = next else { return };
            if let Err(error) = self.limiter.settle(batch.clone()).await {
                self.lock().reports.push_front(batch);
                if error.is_transient() {
                    self.lost(&error);
                }
                return;
            }
        }
    }
}
