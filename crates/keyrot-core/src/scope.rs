//! The record of a scope that failed: blocked until when, why, and how often in a row. Pure.

use std::time::Duration;

use crate::cooldown::{Backoff, LONGEST_NAMED_DELAY};
use crate::day::pacific_day_end;
use crate::limit::{Millis, Span};
use crate::outcome::Reason;

/// Stored deadlines further ahead than this were written by a clock that was wrong.
const FURTHEST: Millis = 25 * 3600 * 1000;

/// Fixed size; a scope without a record is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeRecord {
    /// Raised by a reset or a new secret: deadlines only merge inside one generation.
    pub generation: u32,
    /// Not used before this time; 0 if it is not blocked.
    pub blocked_until: Millis,
    /// When the present or last block began.
    pub blocked_at: Millis,
    /// Failures in a row.
    pub strikes: u32,
    /// Why it is or was blocked.
    pub reason: Option<Reason>,
    /// The block has no end named by the provider: what comes after it is a probe.
    pub must_probe: bool,
}

impl ScopeRecord {
    /// A failure of a call that was leased at `since`.
    ///
    /// Deadlines only grow. Of several calls in flight when the scope was blocked only the first
    /// is a strike: they are one incident.
    pub fn block(
        &mut self,
        now: Millis,
        since: Millis,
        reason: Reason,
        span: Span,
        backoff: Backoff,
        jitter: u16,
    ) {
        let same_incident = self.strikes > 0 && since <= self.blocked_at;
        let strikes = if same_incident { self.strikes } else { self.strikes.saturating_add(1) };
        let until = match span {
            Span::Backoff if same_incident => return,
            Span::Backoff => now + millis(backoff.delay(strikes, jitter)),
            Span::Named(delay) => now + millis(delay.min(LONGEST_NAMED_DELAY)),
            Span::DayEnd => pacific_day_end(since),
        };
        if until <= now {
            return; // the day of the failed call is over already
        }
        self.strikes = strikes;
        if !same_incident {
            self.blocked_at = now;
        }
        if until >= self.blocked_until {
            self.blocked_until = until;
            self.reason = Some(reason);
            self.must_probe = span == Span::Backoff;
        }
    }

    /// A success of a call that was leased at `since`; true if that changed the record. The success
    /// of a call older than the block proves nothing.
    pub fn clear(&mut self, since: Millis) -> bool {
        if self.strikes == 0 || since <= self.blocked_at {
            return false;
        }
        *self = Self { generation: self.generation, ..Self::default() };
        true
    }

    /// Lifts the block and forgets the strikes, at a person's word or for a new secret.
    pub fn reset(&mut self) {
        *self = Self { generation: self.generation.wrapping_add(1), ..Self::default() };
    }

    /// The end of the block, if it is blocked at `now`.
    pub fn blocked(&self, now: Millis) -> Option<Millis> {
        let until = self.blocked_until.min(now + FURTHEST);
        (until > now).then_some(until)
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(FURTHEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(record: &mut ScopeRecord, now: Millis, since: Millis, span: Span) {
        record.block(now, since, Reason::Cooldown, span, Backoff::default(), 0);
    }

    #[test]
    fn fifty_failures_of_one_incident_are_one_strike() {
        let mut record = ScopeRecord::default();
        for call in 0..50 {
            block(&mut record, 1000 + call, 900, Span::Backoff);
        }
        assert_eq!((record.strikes, record.blocked_until), (1, 31_000));
    }

    #[test]
    fn a_failed_probe_doubles_the_rest() {
        let mut record = ScopeRecord::default();
        block(&mut record, 1_000, 900, Span::Backoff);
        block(&mut record, 31_500, 31_000, Span::Backoff);
        assert_eq!((record.strikes, record.blocked_until), (2, 91_500));
        assert!(record.must_probe);
    }

    #[test]
    fn deadlines_merge_by_max_and_absurd_ones_are_capped() {
        let mut record = ScopeRecord::default();
        block(&mut record, 0, 0, Span::Named(Duration::from_secs(300)));
        block(&mut record, 1, 0, Span::Named(Duration::from_secs(5)));
        assert_eq!(record.blocked_until, 300_000);
        block(&mut record, 2, 0, Span::Named(Duration::from_secs(u64::MAX / 1000)));
        assert_eq!(record.blocked_until, 2 + 24 * 3_600_000);
        assert!(!record.must_probe);
    }

    #[test]
    fn a_success_older_than_the_block_proves_nothing() {
        let mut record = ScopeRecord::default();
        block(&mut record, 1_000, 900, Span::Backoff);
        assert!(!record.clear(999));
        assert!(record.blocked(2_000).is_some());
        assert!(record.clear(31_000));
        assert_eq!((record.strikes, record.blocked(2_000)), (0, None));
    }

    #[test]
    fn a_deadline_written_by_a_wrong_clock_is_clamped_on_read() {
        let record = ScopeRecord { blocked_until: u64::MAX, ..ScopeRecord::default() };
        assert_eq!(record.blocked(1_000), Some(1_000 + FURTHEST));
    }
}
