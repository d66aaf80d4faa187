//! How a limit per minute is counted: fixed minutes, a sliding minute or a bucket that refills. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The minute that every limit refers to.
pub(crate) const MINUTE_MS: u64 = 60_000;

/// How limits per minute are counted, requests and tokens alike. What Gemini really does is undocumented, so a
/// client has to hold under each of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// Minutes that begin `phase_ms` after each full minute; the count starts at 0 in each.
    Fixed {
        /// 0 to 59 999; default 0.
        #[serde(default)]
        phase_ms: u64,
    },
    /// Minutes that begin with a call: the first one after the last minute was over.
    FromFirst,
    /// What was granted less than 60 s ago counts.
    Sliding,
    /// An estimate of the sliding minute from two counts: that of this full minute, and that of the one before, of which
    /// the part still counts that a sliding minute would cover.
    TwoMinutes,
    /// A bucket that holds `burst` minutes' worth of quota, starts full and refills evenly.
    Bucket {
        /// Size as a share of the limit per minute: 1.0 (default) holds a whole minute's quota, 0.1 a tenth. At
        /// least one request always fits.
        #[serde(default = "whole_minute")]
        burst: f64,
    },
}

impl Default for Window {
    /// Fixed minutes, phase 0: what users report of Gemini.
    fn default() -> Self {
        Self::Fixed { phase_ms: 0 }
    }
}

fn whole_minute() -> f64 {
    1.0
}

/// The books of one limit: how much of `limit` units per minute is taken.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    limit: u64,
    books: Books,
}

#[derive(Clone, Debug)]
enum Books {
    Fixed {
        phase_ms: u64,
        minute: u64,
        used: u64,
    },
    FromFirst {
        began_ms: u64,
        used: u64,
    },
    Sliding {
        granted: VecDeque<(u64, u64)>,
        used: u64,
    },
    TwoMinutes {
        minute: u64,
        used: u64,
        used_before: u64,
    },
    /// Content in units of 1/60 000 of a quota unit, so that a millisecond refills exactly `limit` of them.
    Bucket {
        capacity: u64,
        level: u64,
        refilled_ms: u64,
    },
}

impl Meter {
    /// Empty books; `smallest` is what a bucket must at least hold.
    pub(crate) fn new(window: Window, limit: u64, smallest: u64) -> Self {
        let books = match window {
            Window::Fixed { phase_ms } => Books::Fixed { phase_ms: phase_ms % MINUTE_MS, minute: 0, used: 0 },
            Window::FromFirst => Books::FromFirst { began_ms: 0, used: 0 },
            Window::TwoMinutes => Books::TwoMinutes { minute: 0, used: 0, used_before: 0 },
            Window::Sliding => Books::Sliding { granted: VecDeque::new(), used: 0 },
            Window::Bucket { burst } => {
                let holds = ((limit as f64 * burst) as u64).max(smallest);
                let capacity = holds.saturating_mul(MINUTE_MS);
                Books::Bucket { capacity, level: capacity, refilled_ms: 0 }
            }
        };
        Self { limit, books }
    }

    /// Units per minute.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// When `amount` units could be granted if nothing else came: `now_ms` means at once. None: never, the amount
    /// is larger than the window.
    pub(crate) fn earliest(&mut self, now_ms: u64, amount: u64) -> Option<u64> {
        self.roll(now_ms);
        match &self.books {
            Books::Fixed { phase_ms, minute, used } => {
                if used + amount <= self.limit {
                    return Some(now_ms);
                }
                (amount <= self.limit).then(|| (minute + 1) * MINUTE_MS - (MINUTE_MS - phase_ms))
            }
            Books::FromFirst { began_ms, used } => {
                if used + amount <= self.limit {
                    return Some(now_ms);
                }
                (amount <= self.limit).then_some(began_ms + MINUTE_MS)
            }
            Books::TwoMinutes { minute, used, used_before } => {
                let fits_after = |before: u64, amount: u64| -> Option<u64> {
                    let left = self.limit.checked_sub(amount)?;
                    Some(
                        MINUTE_MS
                            - (left * MINUTE_MS).checked_div(before).unwrap_or(MINUTE_MS).min(MINUTE_MS),
                    )
                };
                let begins = minute * MINUTE_MS;
                match fits_after(*used_before, used + amount) {
                    // at the very end nothing of the minute before counts: that is the next minute
                    Some(after) if after < MINUTE_MS => Some(now_ms.max(begins + after)),
                    _ => Some(begins + MINUTE_MS + fits_after(*used, amount)?),
                }
            }
            Books::Sliding { granted, used } => {
                let mut left = *used;
                if left + amount <= self.limit {
                    return Some(now_ms);
                }
                granted.iter().find_map(|(time_ms, units)| {
                    left -= units;
                    (left + amount <= self.limit).then_some(time_ms + MINUTE_MS)
                })
            }
            Books::Bucket { capacity, level, .. } => {
                let needed = amount.saturating_mul(MINUTE_MS);
                if needed > *capacity {
                    return None;
                }
                let missing = needed.saturating_sub(*level);
                Some(now_ms + missing.div_ceil(self.limit.max(1)))
            }
        }
    }

    /// Books `amount` units; `earliest` has said that they fit.
    pub(crate) fn charge(&mut self, now_ms: u64, amount: u64) {
        self.roll(now_ms);
        match &mut self.books {
            Books::Fixed { used, .. } | Books::TwoMinutes { used, .. } => *used += amount,
            Books::FromFirst { began_ms, used } => {
                if *used == 0 {
                    *began_ms = now_ms;
                }
                *used += amount;
            }
            Books::Sliding { granted, used } => {
                *used += amount;
                granted.push_back((now_ms, amount));
            }
            Books::Bucket { level, .. } => *level = level.saturating_sub(amount.saturating_mul(MINUTE_MS)),
        }
    }

    /// Units that cannot be granted at this moment.
    pub(crate) fn used(&mut self, now_ms: u64) -> u64 {
        self.roll(now_ms);
        match &self.books {
            Books::Fixed { used, .. } | Books::FromFirst { used, .. } | Books::Sliding { used, .. } => *used,
            Books::TwoMinutes { minute, used, used_before } => {
                let left_ms = (minute + 1) * MINUTE_MS - now_ms;
                used + (used_before * left_ms).div_ceil(MINUTE_MS)
            }
            Books::Bucket { capacity, level, .. } => (capacity - level).div_ceil(MINUTE_MS),
        }
    }

    /// Forgets what no longer counts.
    fn roll(&mut self, now_ms: u64) {
        match &mut self.books {
            Books::Fixed { phase_ms, minute, used } => {
                let current = (now_ms + MINUTE_MS - *phase_ms) / MINUTE_MS;
                if current != *minute {
                    (*minute, *used) = (current, 0);
                }
            }
            Books::FromFirst { began_ms, used } => {
                if *began_ms + MINUTE_MS <= now_ms {
                    *used = 0;
                }
            }
            Books::TwoMinutes { minute, used, used_before } => {
                let current = now_ms / MINUTE_MS;
                if current != *minute {
                    *used_before = if current == *minute + 1 { *used } else { 0 };
                    (*minute, *used) = (current, 0);
                }
            }
            Books::Sliding { granted, used } => {
                while let Some((_, units)) =
                    granted.pop_front_if(|(time_ms, _)| *time_ms + MINUTE_MS <= now_ms)
                {
                    *used -= units;
                }
            }
            Books::Bucket { capacity, level, refilled_ms } => {
                let passed = now_ms.saturating_sub(*refilled_ms);
                *level = level.saturating_add(passed.saturating_mul(self.limit)).min(*capacity);
                *refilled_ms = now_ms;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_767_614_400_000; // a full minute

    fn grant(meter: &mut Meter, now_ms: u64, amount: u64) -> bool {
        let fits = meter.earliest(now_ms, amount) == Some(now_ms);
        if fits {
            meter.charge(now_ms, amount);
        }
        fits
    }

    #[test]
    fn a_fixed_minute_grants_again_when_the_next_one_begins() {
        let mut meter = Meter::new(Window::Fixed { phase_ms: 0 }, 2, 1);
        assert!(grant(&mut meter, NOON + 59_000, 1));
        assert!(grant(&mut meter, NOON + 59_999, 1));
        assert_eq!(meter.earliest(NOON + 59_999, 1), Some(NOON + 60_000));
        assert!(grant(&mut meter, NOON + 60_000, 2));
        assert!(!grant(&mut meter, NOON + 119_999, 1));
    }

    #[test]
    fn a_phase_moves_the_beginning_of_the_minute() {
        let mut meter = Meter::new(Window::Fixed { phase_ms: 36_300 }, 1, 1);
        assert!(grant(&mut meter, NOON, 1));
        assert_eq!(meter.earliest(NOON + 36_299, 1), Some(NOON + 36_300));
        assert!(grant(&mut meter, NOON + 36_300, 1));
        assert_eq!(meter.earliest(NOON + 60_000, 1), Some(NOON + 96_300));
    }

    #[test]
    fn a_sliding_minute_frees_each_grant_60_seconds_later() {
        let mut meter = Meter::new(Window::Sliding, 2, 1);
        assert!(grant(&mut meter, NOON, 1));
        assert!(grant(&mut meter, NOON + 10_000, 1));
        assert_eq!(meter.earliest(NOON + 59_999, 1), Some(NOON + 60_000));
        assert!(grant(&mut meter, NOON + 60_000, 1));
        assert_eq!(meter.earliest(NOON + 60_000, 1), Some(NOON + 70_000));
        assert_eq!(meter.earliest(NOON + 60_000, 2), Some(NOON + 120_000));
    }

    #[test]
    fn a_minute_from_the_first_call_ends_60_seconds_after_it() {
        let mut meter = Meter::new(Window::FromFirst, 2, 1);
        assert!(grant(&mut meter, NOON + 20_000, 1));
        assert!(grant(&mut meter, NOON + 79_999, 1));
        assert_eq!(meter.earliest(NOON + 79_999, 1), Some(NOON + 80_000));
        assert!(grant(&mut meter, NOON + 95_000, 2), "a new one, from this call on");
        assert_eq!(meter.earliest(NOON + 100_000, 1), Some(NOON + 155_000));
    }

    #[test]
    fn of_two_minutes_the_first_counts_as_far_as_it_is_covered() {
        let mut meter = Meter::new(Window::TwoMinutes, 10, 1);
        assert!(grant(&mut meter, NOON + 59_999, 10));
        assert_eq!(meter.earliest(NOON + 59_999, 1), Some(NOON + 66_000), "then 9 of the 10 still count");
        assert!(!grant(&mut meter, NOON + 65_999, 1));
        assert!(grant(&mut meter, NOON + 66_000, 1));
        assert_eq!(meter.used(NOON + 90_000), 6, "half of the minute before, and one");
        assert!(grant(&mut meter, NOON + 90_000, 4));
        assert_eq!(
            meter.earliest(NOON + 90_000, 5),
            Some(NOON + 120_000),
            "5 and 5, when the new minute begins"
        );
        assert_eq!(meter.earliest(NOON + 90_000, 8), Some(NOON + 120_000 + 36_000), "2 of 5 count then");
        assert_eq!(meter.used(NOON + 300_000), 0, "a minute between was empty");
    }

    #[test]
    fn a_bucket_starts_full_and_refills_evenly() {
        let mut meter = Meter::new(Window::Bucket { burst: 1.0 }, 6, 1);
        assert!(grant(&mut meter, NOON, 6));
        assert_eq!(meter.earliest(NOON, 1), Some(NOON + 10_000));
        assert!(!grant(&mut meter, NOON + 9_999, 1));
        assert!(grant(&mut meter, NOON + 10_000, 1));
        assert!(grant(&mut meter, NOON + 70_000, 6), "never more than its size");
        assert_eq!(meter.earliest(NOON + 70_000, 6), Some(NOON + 130_000));
    }

    #[test]
    fn a_small_bucket_holds_a_share_of_the_minute_and_at_least_one_request() {
        let mut tenth = Meter::new(Window::Bucket { burst: 0.1 }, 60, 1);
        assert!(grant(&mut tenth, NOON, 6));
        assert_eq!(tenth.earliest(NOON, 1), Some(NOON + 1_000));
        let mut single = Meter::new(Window::Bucket { burst: 0.1 }, 5, 1);
        assert!(grant(&mut single, NOON, 1));
        assert_eq!(single.earliest(NOON, 1), Some(NOON + 12_000));
    }

    #[test]
    fn more_than_a_window_holds_is_never_granted() {
        let bucket = Window::Bucket { burst: 1.0 };
        for window in
            [Window::Fixed { phase_ms: 0 }, Window::FromFirst, Window::Sliding, Window::TwoMinutes, bucket]
        {
            let mut meter = Meter::new(window, 100, 1);
            assert_eq!(meter.earliest(NOON, 101), None, "{window:?}");
            assert!(grant(&mut meter, NOON, 100), "{window:?}");
            assert_eq!(meter.used(NOON), 100, "{window:?}");
        }
    }
}
