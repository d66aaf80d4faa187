//! The pace that a group learns from refusals its own books did not expect. Pure.
//!
//! Each such refusal halves the burst; at a burst of one the rate falls to (limit - 1) in 61 s,
//! which no kind of window refuses. One step comes back after 30 minutes without another, the last
//! one after two hours: there is little to gain by it, and to find out costs a refusal each time.

use std::time::Duration;

use crate::limit::Millis;
use crate::window::WINDOW;

/// How long a step stays.
const STEP_FOR: Millis = 30 * 60_000;
/// The last step counts for so many.
const LAST_STEP_IS: u8 = 4;

/// Steps taken, and the time at which the next call is due (GCRA's theoretical arrival time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) steps: u8,
    pub(crate) stepped_at: Millis,
    /// Microseconds, so that rates which do not divide a minute stay exact.
    pub(crate) due_us: u64,
    /// What the last call added to `due_us`; 0 if it cannot be given back.
    pub(crate) interval_us: u32,
}

impl Pace {
    /// One step stricter. `since` is when the refused call was leased: of many calls that were under
    /// way when the pace was set only the first is news.
    pub(crate) fn tighten(&mut self, now: Millis, rpm: u32, since: Millis) -> bool {
        if self.steps > 0 && since <= self.stepped_at {
            return false;
        }
        let last = last_step(rpm);
        self.steps = if self.steps + 1 < last { self.steps + 1 } else { most_steps(last) };
        self.stepped_at = now;
        // Start empty: the provider has just said that it is full.
        let full = self.burst(rpm) * u64::from(interval_us(self.steps, rpm));
        self.due_us = self.due_us.max(now * 1000 + full);
        self.interval_us = 0;
        true
    }

    pub(crate) fn advance(&mut self, now: Millis) {
        while let Some(relaxed_at) = self.relaxed_at().filter(|at| *at <= now) {
            self.steps -= 1;
            self.stepped_at = relaxed_at;
        }
    }

    /// When one step comes back.
    pub(crate) fn relaxed_at(&self) -> Option<Millis> {
        (self.steps > 0).then_some(self.stepped_at + STEP_FOR)
    }

    /// When all steps have come back.
    pub(crate) fn over_at(&self) -> Millis {
        self.stepped_at + Millis::from(self.steps) * STEP_FOR
    }

    pub(crate) fn book(&mut self, now: Millis, rpm: Option<u32>) {
        if let Some(rpm) = self.paced(rpm) {
            self.interval_us = interval_us(self.steps, rpm);
            self.due_us = self.due_us.max(now * 1000) + u64::from(self.interval_us);
        }
    }

    /// The last call that was booked was never sent.
    pub(crate) fn unbook(&mut self) {
        if self.steps > 0 {
            self.due_us = self.due_us.saturating_sub(u64::from(self.interval_us));
            self.interval_us = 0;
        }
    }

    /// The next call keeps the pace from this time on; `None` if there is no pace.
    pub(crate) fn not_before(&self, rpm: Option<u32>) -> Option<Millis> {
        let rpm = self.paced(rpm)?;
        let tolerance = (self.burst(rpm) - 1) * u64::from(interval_us(self.steps, rpm));
        Some(self.due_us.saturating_sub(tolerance).div_ceil(1000))
    }

    pub(crate) fn interval(&self, rpm: Option<u32>) -> Option<Duration> {
        let rpm = self.paced(rpm)?;
        Some(Duration::from_micros(interval_us(self.steps, rpm).into()))
    }

    fn paced(&self, rpm: Option<u32>) -> Option<u32> {
        rpm.filter(|rpm| self.steps > 0 && *rpm > 0)
    }

    fn burst(&self, rpm: u32) -> u64 {
        (u64::from(rpm) >> self.steps).max(1)
    }
}

/// The step at which the burst is one and the rate is lowered.
fn last_step(rpm: u32) -> u8 {
    u8::try_from(rpm.max(1).ilog2() + 1).unwrap_or(u8::MAX)
}

fn most_steps(last: u8) -> u8 {
    last + LAST_STEP_IS - 1
}

/// No limit leads to more.
pub(crate) fn most_steps_of_all() -> u8 {
    most_steps(last_step(u32::MAX))
}

fn interval_us(steps: u8, rpm: u32) -> u32 {
    if steps >= last_step(rpm) { WINDOW as u32 * 1000 / (rpm - 1).max(1) } else { 60_000_000 / rpm }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tighten(pace: &mut Pace, rpm: u32, times: u64) {
        for now in 1..=times {
            assert!(pace.tighten(now, rpm, now));
        }
    }

    #[test]
    fn bursts_halve_and_then_the_rate_falls() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for now in 1..=5 {
            pace.tighten(now, 10, now);
            seen.push((pace.burst(10), pace.interval(Some(10)).unwrap().as_millis()));
        }
        assert_eq!(seen, [(5, 6000), (2, 6000), (1, 6000), (1, 6777), (1, 6777)]);
    }

    #[test]
    fn the_refusals_of_one_burst_are_one_step() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.tighten(1_000, 60, 900); // leased before the first of them came back
        }
        assert_eq!(pace.steps, 1);
        pace.tighten(20_000, 60, 15_000);
        assert_eq!(pace.steps, 2);
    }

    #[test]
    fn one_step_comes_back_after_half_an_hour() {
        let mut pace = Pace::default();
        tighten(&mut pace, 10, 2);
        pace.advance(2 + STEP_FOR - 1);
        assert_eq!(pace.steps, 2);
        pace.advance(2 + STEP_FOR);
        assert_eq!(pace.steps, 1);
        assert_eq!(pace.over_at(), 2 + 2 * STEP_FOR);
        pace.advance(2 + 2 * STEP_FOR);
        assert_eq!((pace.steps, pace.not_before(Some(10))), (0, None));
    }

    #[test]
    fn the_last_step_comes_back_after_two_hours_and_at_once_if_it_was_too_early() {
        let mut pace = Pace::default();
        tighten(&mut pace, 10, 4); // burst 1, 9 in 61 s
        let interval = |pace: &Pace| pace.interval(Some(10)).unwrap().as_millis();
        pace.advance(4 + 4 * STEP_FOR - 1);
        assert_eq!(interval(&pace), 6777);
        pace.advance(4 + 4 * STEP_FOR);
        assert_eq!(interval(&pace), 6000);
        let refused_at = 4 + 4 * STEP_FOR + 50;
        assert!(pace.tighten(refused_at, 10, refused_at));
        assert_eq!((interval(&pace), pace.over_at()), (6777, refused_at + 7 * STEP_FOR));
    }

    #[test]
    fn a_paced_call_waits_one_interval_exactly() {
        let mut pace = Pace::default();
        tighten(&mut pace, 61, 9); // burst 1, 60 in 61 s
        let first = pace.not_before(Some(61)).unwrap();
        pace.book(first, Some(61));
        let second = pace.not_before(Some(61)).unwrap();
        assert_eq!(second - first, 1017); // 61 000 / 60, rounded up
        pace.unbook();
        assert!(pace.not_before(Some(61)).unwrap() <= first);
        pace.unbook(); // only the last call can be given back
        assert!(pace.not_before(Some(61)).unwrap() >= first - 1);
    }

    #[test]
    fn extreme_limits_have_a_pace_too() {
        for rpm in [1, 2, 3, u32::MAX] {
            let mut pace = Pace::default();
            tighten(&mut pace, rpm, 40);
            pace.book(50, Some(rpm));
            assert!(pace.not_before(Some(rpm)).is_some(), "{rpm}");
        }
    }
}
