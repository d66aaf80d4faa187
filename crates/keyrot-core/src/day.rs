//! The provider's day: it ends at midnight America/Los_Angeles, so some days have 23 or 25 hours.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, tz};

use crate::limit::Millis;

/// The zone in which Gemini's day quotas reset (Gemini API documentation, "Rate limits").
/// Compiled in: no file of the machine is read.
static PACIFIC: TimeZone = tz::get!("America/Los_Angeles");

/// The end of the day that contains `now`: the next midnight in Los Angeles.
pub fn pacific_day_end(now: Millis) -> Millis {
    next_midnight(now).unwrap_or_else(|| now.saturating_add(24 * 3600 * 1000))
}

fn next_midnight(now: Millis) -> Option<Millis> {
    let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
    let midnight = now
        .to_zoned_datetime(PACIFIC.clone())
        .date()
        .checked_add(1.day())
        .ok()?
        .to_zoned_datetime(PACIFIC.clone());
    Millis::try_from(midnight.ok()?.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Millis {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    #[test]
    fn days_of_23_24_and_25_hours() {
        for (inside, end, hours) in [
            ("2026-01-05T12:00:00-08:00", "2026-01-06T00:00:00-08:00", 24),
            ("2026-03-08T00:00:00-08:00", "2026-03-09T00:00:00-07:00", 23),
            ("2026-11-01T00:00:00-07:00", "2026-11-02T00:00:00-08:00", 25),
        ] {
            assert_eq!(pacific_day_end(millis(inside)), millis(end), "{inside}");
            let start = pacific_day_end(millis(end) - hours * 3_600_000 - 1);
            assert_eq!(millis(end) - start, hours * 3_600_000, "{inside}");
        }
    }

    #[test]
    fn midnight_itself_belongs_to_the_new_day() {
        let midnight = millis("2026-01-06T00:00:00-08:00");
        assert_eq!(pacific_day_end(midnight - 1), midnight);
        assert_eq!(pacific_day_end(midnight), midnight + 24 * 3_600_000);
    }
}
