//! The pace that a group learns from refusals its own books did not expect. Pure.
//!
//! Each such refusal halves the burst; at a burst of one the rate falls to (limit - 1) in 61 s,
//! which no kind of window refuses. One step comes back after 30 minutes without another.

use std::time::Duration;

use crate::limit::Millis;
use crate::quota::WINDOW;

/// How long a step stays.
const STEP_FOR: Millis = 30 * 60_000;

/// Steps taken, and the time at which the next call is due (GCRA's theoretical arrival time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) steps: u8,
    pub(crate) stepped_at: Millis,
    /// Microseconds, so that rates which do not divide a minute stay exact.
    pub(crate) due_us: u64,
    pub(crate) interval_us: u64,
}

impl Pace {
    pub(crate) fn tighten(&mut self, now: Millis, rpm: u32) {
        self.steps = (self.steps + 1).min(last_step(rpm));
        self.stepped_at = now;
        // Start empty: the provider has just said that it is full.
        self.due_us = self.due_us.max(now * 1000 + self.burst(rpm) * interval_us(self.steps, rpm));
    }

    pub(crate) fn recover(&mut self, now: Millis) {
        while self.steps > 0 && now >= self.stepped_at + STEP_FOR {
            self.steps -= 1;
            self.stepped_at += STEP_FOR;
        }
    }

    pub(crate) fn book(&mut self, now: Millis, rpm: Option<u32>) {
        let Some(rpm) = rpm.filter(|rpm| self.steps > 0 && *rpm > 0) else { return };
        self.interval_us = interval_us(self.steps, rpm);
        self.due_us = self.due_us.max(now * 1000) + self.interval_us;
    }

    pub(crate) fn release(&mut self, now: Millis) {
        if self.steps > 0 && self.due_us > now * 1000 {
            self.due_us = self.due_us.saturating_sub(self.interval_us);
        }
    }

    /// The next call keeps the pace from this time on; `None` if there is no pace.
    pub(crate) fn not_before(&self, rpm: Option<u32>) -> Option<Millis> {
        let rpm = rpm.filter(|rpm| self.steps > 0 && *rpm > 0)?;
        let tolerance = (self.burst(rpm) - 1) * interval_us(self.steps, rpm);
        Some(self.due_us.saturating_sub(tolerance).div_ceil(1000))
    }

    pub(crate) fn interval(&self, rpm: Option<u32>) -> Option<Duration> {
        let rpm = rpm.filter(|rpm| self.steps > 0 && *rpm > 0)?;
        Some(Duration::from_micros(interval_us(self.steps, rpm)))
    }

    fn burst(&self, rpm: u32) -> u64 {
        (u64::from(rpm) >> self.steps).max(1)
    }
}

/// The step at which the burst is one and the rate is lowered.
fn last_step(rpm: u32) -> u8 {
    u8::try_from(rpm.max(1).ilog2() + 1).unwrap_or(u8::MAX)
}

fn interval_us(steps: u8, rpm: u32) -> u64 {
    if steps >= last_step(rpm) {
        WINDOW * 1000 / u64::from(rpm.saturating_sub(1).max(1))
    } else {
        60_000_000 / u64::from(rpm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_halve_and_then_the_rate_falls() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for _ in 0..5 {
            pace.tighten(0, 10);
            seen.push((pace.burst(10), pace.interval(Some(10)).unwrap().as_millis()));
        }
        assert_eq!(seen, [(5, 6000), (2, 6000), (1, 6000), (1, 6777), (1, 6777)]);
    }

    #[test]
    fn one_step_comes_back_after_half_an_hour() {
        let mut pace = Pace::default();
        pace.tighten(0, 10);
        pace.tighten(0, 10);
        pace.recover(STEP_FOR - 1);
        assert_eq!(pace.steps, 2);
        pace.recover(STEP_FOR);
        assert_eq!(pace.steps, 1);
        pace.recover(2 * STEP_FOR);
        assert_eq!((pace.steps, pace.not_before(Some(10))), (0, None));
    }

    #[test]
    fn a_paced_call_waits_one_interval_exactly() {
        let mut pace = Pace::default();
        for _ in 0..9 {
            pace.tighten(0, 61); // burst 1, 60 in 61 s
        }
        let first = pace.not_before(Some(61)).unwrap();
        pace.book(first, Some(61));
        let second = pace.not_before(Some(61)).unwrap();
        assert_eq!(second - first, 1017); // 61 000 / 60, rounded up
        pace.release(first);
        assert!(pace.not_before(Some(61)).unwrap() <= first);
    }
}
