//! Midnights in Los Angeles around a time: Lua has no time zones, so every call brings them along.

use keyrot_core::{Millis, pacific_day_end};

use crate::wire::Writer;

/// How many go along: enough for a clock that is a day off, and for limits that are forgotten in 24 h.
const COUNT: usize = 6;
const HOUR: Millis = 3_600_000;

/// The midnights as they are sent, good for an hour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Midnights {
    hour: Millis,
    bytes: Vec<u8>,
}

impl Midnights {
    /// The midnights around `now`; the first one is at least a day ago.
    pub(crate) fn around(&mut self, now: Millis) -> &[u8] {
        let hour = now / HOUR;
        if self.bytes.is_empty() || self.hour != hour {
            let mut to = Writer::default();
            let mut at = (hour * HOUR).saturating_sub(48 * HOUR);
            for _ in 0..COUNT {
                at = pacific_day_end(at);
                to.u48(at);
            }
            *self = Self { hour, bytes: to.0 };
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;

    #[test]
    fn they_cover_a_day_before_and_two_after() {
        for now in (0..400).map(|day| 1_767_614_400_000 + day * 23 * HOUR) {
            let mut midnights = Midnights::default();
            let mut all = Reader(midnights.around(now));
            let mut times = std::iter::from_fn(|| all.u48());
            let first = times.next().unwrap();
            assert!(first + 24 * HOUR <= now + HOUR, "{now}");
            let mut last = first;
            for time in times {
                assert_eq!(pacific_day_end(last), time);
                last = time;
            }
            assert!(last >= now + 48 * HOUR + HOUR, "{now}");
        }
    }
}
