//! When a writer that has much to write lets others write.
//!
//! Between two transactions of a busy process the lock is free for some microseconds only, and whoever waits asks for it
//! at moments of his own: he would miss it many times. So after a turn without a pause, and only while there
//! are others, the lock is left free for longer than those who have waited long ever pause.

use std::time::{Duration, Instant};

use crate::patience::LONGEST_OF_LONG;

const TURN: Duration = Duration::from_micros(1500);
/// A moment more than the pause, for the waiter has to wake up.
const GAP: Duration = LONGEST_OF_LONG.saturating_add(Duration::from_micros(100));
/// Whoever has not been in the way for so long is thought to be gone.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The turns of one writer.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    began: Option<Instant>,
    /// When the lock was given up last.
    ended: Option<Instant>,
    /// When somebody else had it last.
    met: Option<Instant>,
}

impl Turns {
    /// Before a transaction: how long to leave the lock to others first.
    pub(crate) fn gap(&mut self, now: Instant) -> Duration {
        let free = self.ended.map_or(GAP, |ended| now.saturating_duration_since(ended));
        let lasts = self.began.map_or(TURN, |began| now.saturating_duration_since(began));
        if free < GAP && lasts < TURN {
            return Duration::ZERO;
        }
        let gap = if self.met_lately(now) { GAP.saturating_sub(free) } else { Duration::ZERO };
        self.began = Some(now + gap);
        gap
    }

    /// After a transaction.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Whether there are others.
    pub(crate) fn met_lately(&self, now: Instant) -> bool {
        self.met.is_some_and(|met| now.saturating_duration_since(met) < KNOWN_FOR)
    }

    /// Somebody else has the lock.
    pub(crate) fn meet(&mut self, now: Instant) {
        self.met = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use keyrot_core::{Clock, ManualClock};

    use super::*;

    const STEP: Duration = Duration::from_micros(100);

    /// The gaps that a writer without a pause leaves in a second.
    fn gaps(clock: &ManualClock, turns: &mut Turns) -> Vec<Duration> {
        let (end, mut gaps) = (clock.now() + KNOWN_FOR, Vec::new());
        while clock.now() < end {
            let gap = turns.gap(clock.now());
            gaps.extend(Some(gap).filter(|gap| !gap.is_zero()));
            clock.advance(gap + STEP);
            turns.end(clock.now());
        }
        gaps
    }

    #[test]
    fn a_writer_alone_leaves_no_gap() {
        assert_eq!(gaps(&ManualClock::default(), &mut Turns::default()), []);
    }

    #[test]
    fn a_busy_writer_leaves_a_gap_after_each_turn_while_there_are_others() {
        let (clock, mut turns) = (ManualClock::default(), Turns::default());
        turns.gap(clock.now());
        turns.meet(clock.now());
        let left = gaps(&clock, &mut turns);
        let turns_in_a_second = KNOWN_FOR.as_micros() / (TURN + GAP).as_micros();
        assert!(left.len().abs_diff(turns_in_a_second as usize) < 20, "{}", left.len());
        assert!(left.iter().all(|gap| *gap >= LONGEST_OF_LONG), "{left:?}");
        assert_eq!(gaps(&clock, &mut turns), [], "they have gone");
    }

    #[test]
    fn a_pause_is_a_gap() {
        let (clock, mut turns) = (ManualClock::default(), Turns::default());
        for _ in 0..100 {
            assert_eq!(turns.gap(clock.now()), Duration::ZERO);
            turns.meet(clock.now());
            clock.advance(STEP);
            turns.end(clock.now());
            clock.advance(GAP);
        }
    }
}
