//! Reports to a guarded limiter, and those that are kept for it while it is away.

use std::time::Duration;

use crate::failure_policy::THERE;
use crate::guarded::GuardedLimiter;
use crate::limit::{SettleBatch, Settled};

/// A report waits for the limiter at most so long; what became of it is found out later.
const REPORT_WAITS: Duration = Duration::from_millis(20);
/// Reports that are kept for a limiter that is away; the oldest go first.
pub(crate) const KEPT_REPORTS: usize = 4096;

impl GuardedLimiter {
    /// Tells the limiter, but does not let the caller wait for it.
    pub(crate) async fn settle_there(&self, batch: &SettleBatch) -> Option<Settled> {
        let (base, seen) = {
            let state = self.lock();
            (state.base, batch.seen.saturating_sub(state.base))
        };
        let mut theirs = SettleBatch { seen, ..batch.clone() };
        theirs.settlements.retain(|settlement| settlement.reservation.home == THERE);
        let answer = tokio::time::timeout(REPORT_WAITS, self.limiter.settle(theirs.clone())).await;
        match answer {
            Ok(Ok(settled)) => {
                self.note_time(settled.now);
                let mut state = self.lock();
                if state.base != base {
                    return None;
                }
                let _ = state.own.note_changes(settled.now, &settled.changed);
                let generation = state.hand_out(settled.generation, batch.seen);
                return Some(Settled { generation, ..settled });
            }
            Ok(Err(error)) if error.is_transient() => self.lost(&error),
            Ok(Err(error)) => tracing::warn!(%error, "a call could not be settled"),
            Err(_) => {}
        }
        self.keep(theirs);
        None
    }

    pub(crate) fn keep(&self, report: SettleBatch) {
        let mut state = self.lock();
        if state.reports.len() == KEPT_REPORTS {
            state.reports.pop_front();
        }
        state.reports.push_back(report);
    }

    /// Sends kept reports, oldest first. One that is sent twice counts once.
    pub(crate) async fn send_reports(&self, at_most: usize) {
        for _ in 0..at_most {
            let next = self.lock().reports.front().cloned();
            let Some(batch) = next else { return };
            let sent = (batch.epoch, batch.number);
            match self.limiter.settle(batch).await {
                Err(error) if error.is_transient() => return self.lost(&error),
                // a report that cannot be settled now never can
                Err(error) => tracing::warn!(%error, "a call could not be settled"),
                Ok(_) => {}
            }
            let mut state = self.lock();
            if state.reports.front().is_some_and(|first| (first.epoch, first.number) == sent) {
                state.reports.pop_front();
            }
        }
    }
}
