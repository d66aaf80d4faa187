//! The record of a scope that failed: blocked until when, why, and how often in a row. Pure.

use std::time::Duration;

use crate::cooldown::{Backoff, LONGEST_NAMED_DELAY};
use crate::day::pacific_day_end;
use crate::limit::{Millis, Span};
use crate::outcome::Reason;

/// Stored deadlines further ahead than this were written by a clock that was wrong.
const FURTHEST: Millis = 25 * 3600 * 1000;

/// How long after its last change a record is kept. Longer than any block, so that a process which
/// has not seen the change has no block left that it would still honour.
pub const KEPT_FOR: Millis = 2 * FURTHEST;

/// Fixed size; a scope without a record is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeRecord {
    /// Raised by a reset: deadlines only merge inside one generation.
    pub generation: u32,
    /// Not used before this time; 0 if it is not blocked.
    pub blocked_until: Millis,
    /// When the last block began or was lifted by hand: calls that were leased before add no strike.
    pub blocked_at: Millis,
    /// Failures in a row.
    pub strikes: u32,
    /// Why it is or was blocked.
    pub reason: Option<Reason>,
    /// The block has no end named by the provider: what comes after it is a probe.
    pub must_probe: bool,
}

impl ScopeRecord {
    /// A failure of a call that was leased at `since`; true if that changed the record. `jitter`:
    /// thousandths, see [`Backoff::delay`].
    ///
    /// Deadlines only grow. Of several calls in flight when the scope was blocked only the first
    /// is a strike: they are one incident. What the provider says of the end counts even then.
    pub fn block(
        &mut self,
        now: Millis,
        since: Millis,
        reason: Reason,
        span: Span,
        backoff: Backoff,
        jitter: u16,
    ) -> bool {
        // a block that began later than now was written by a clock that was wrong
        let is_news = since > self.blocked_at || self.blocked_at > now;
        let strikes = self.strikes.saturating_add(u32::from(is_news));
        let until = match span {
            Span::Backoff if !is_news => return false,
            Span::Backoff => now + millis(backoff.delay(strikes, jitter)),
            Span::Named(delay) => now + millis(delay.min(LONGEST_NAMED_DELAY)),
            Span::DayEnd => pacific_day_end(since),
        };
        if until <= now || (!is_news && until <= self.blocked_until) {
            return false; // nothing to add, or the day of the failed call is over already
        }
        self.strikes = strikes;
        if is_news {
            self.blocked_at = now;
        }
        if until > self.blocked_until {
            self.blocked_until = until;
            self.reason = Some(reason);
            self.must_probe = span == Span::Backoff;
        }
        true
    }

    /// A success of a call that was leased at `since`; true if that changed the record. The success
    /// of a call older than the block proves nothing.
    pub fn clear(&mut self, since: Millis) -> bool {
        if self.is_healthy() || since <= self.blocked_at {
            return false;
        }
        *self = Self { generation: self.generation, blocked_at: self.blocked_at, ..Self::default() };
        true
    }

    /// Lifts the block and forgets the strikes, at a person's word or for a new secret. Calls that
    /// are under way do not bring them back.
    pub fn reset(&mut self, now: Millis) {
        *self = Self { generation: self.generation.wrapping_add(1), blocked_at: now, ..Self::default() };
    }

    /// No block and no strikes, though there may have been.
    pub fn is_healthy(&self) -> bool {
        self.blocked_until == 0 && self.strikes == 0
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
        let _ = record.block(now, since, Reason::Cooldown, span, Backoff::default(), 0);
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
        block(&mut record, 10, 5, Span::Named(Duration::from_secs(300)));
        block(&mut record, 11, 5, Span::Named(Duration::from_secs(5)));
        assert_eq!(record.blocked_until, 300_010);
        block(&mut record, 12, 5, Span::Named(Duration::from_secs(u64::MAX / 1000)));
        assert_eq!((record.blocked_until, record.strikes), (12 + 24 * 3_600_000, 1));
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
    fn a_call_from_before_the_block_does_not_bring_it_back() {
        let mut record = ScopeRecord::default();
        block(&mut record, 1_000, 900, Span::Backoff);
        record.clear(31_000);
        block(&mut record, 40_000, 950, Span::Backoff);
        assert!(record.is_healthy());
        record.reset(50_000);
        block(&mut record, 51_000, 49_000, Span::Backoff);
        assert!(record.is_healthy());
        block(&mut record, 51_000, 49_000, Span::Named(Duration::from_secs(9))); // the provider's word counts
        assert_eq!((record.blocked_until, record.strikes), (60_000, 0));
        assert!(record.clear(52_000));
    }

    #[test]
    fn a_strike_during_a_longer_named_block_keeps_its_end() {
        let mut record = ScopeRecord::default();
        block(&mut record, 1_000, 900, Span::Named(Duration::from_secs(300)));
        block(&mut record, 2_000, 1_500, Span::Backoff);
        assert_eq!((record.strikes, record.blocked_until, record.must_probe), (2, 301_000, false));
    }

    #[test]
    fn a_block_from_the_future_does_not_shield_the_scope() {
        let mut record = ScopeRecord { blocked_at: 9_000_000, ..ScopeRecord::default() };
        block(&mut record, 1_000, 900, Span::Backoff);
        assert_eq!(record.blocked(1_000), Some(31_000));
    }

    #[test]
    fn a_deadline_written_by_a_wrong_clock_is_clamped_on_read() {
        let record = ScopeRecord { blocked_until: u64::MAX, ..ScopeRecord::default() };
        assert_eq!(record.blocked(1_000), Some(1_000 + FURTHEST));
    }
}
