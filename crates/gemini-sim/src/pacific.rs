//! Google's quota day: it ends at midnight in Los Angeles, daylight saving included.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The law of Los Angeles since 2007, written out so that no machine's time zone files matter.
const LOS_ANGELES: &str = "PST8PDT,M3.2.0,M11.1.0";

const DAY_MS: u64 = 86_400_000;

/// One quota day, in milliseconds since 1970. 23 hours long in March once, 25 in November once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacificDay {
    /// The first millisecond of the day.
    pub start_ms: u64,
    /// The first millisecond of the next day.
    pub end_ms: u64,
}

impl PacificDay {
    /// The day that holds this moment. A moment that no calendar holds (year 9999 and later) falls into a plain
    /// day of 24 hours.
    pub fn of(time_ms: u64) -> Self {
        calendar_day(time_ms).unwrap_or_else(|| {
            let start_ms = time_ms - time_ms % DAY_MS;
            Self { start_ms, end_ms: start_ms.saturating_add(DAY_MS) }
        })
    }

    /// True if the moment lies in this day.
    pub fn contains(&self, time_ms: u64) -> bool {
        (self.start_ms..self.end_ms).contains(&time_ms)
    }
}

fn calendar_day(time_ms: u64) -> Option<PacificDay> {
    let zone = TimeZone::posix(LOS_ANGELES).ok()?;
    let date = Timestamp::from_millisecond(i64::try_from(time_ms).ok()?)
        .ok()?
        .to_zoned_datetime(zone.clone())
        .date();
    let midnight = |date: Date| -> Option<u64> {
        let moment = date.to_zoned_datetime(zone.clone()).ok()?.timestamp();
        u64::try_from(moment.as_millisecond()).ok()
    };
    Some(PacificDay { start_ms: midnight(date)?, end_ms: midnight(date.tomorrow().ok()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(rfc3339: &str) -> u64 {
        u64::try_from(rfc3339.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn hours(day: PacificDay) -> u64 {
        (day.end_ms - day.start_ms) / 3_600_000
    }

    #[test]
    fn a_winter_day_ends_at_eight_utc() {
        let day = PacificDay::of(ms("2026-01-15T12:00:00Z"));
        assert_eq!(
            day,
            PacificDay { start_ms: ms("2026-01-15T08:00:00Z"), end_ms: ms("2026-01-16T08:00:00Z") }
        );
    }

    #[test]
    fn the_last_millisecond_belongs_to_the_old_day_and_midnight_to_the_new_one() {
        let midnight = ms("2026-07-02T07:00:00Z");
        assert_eq!(PacificDay::of(midnight - 1).end_ms, midnight);
        assert_eq!(PacificDay::of(midnight).start_ms, midnight);
        assert!(!PacificDay::of(midnight).contains(midnight - 1));
    }

    #[test]
    fn the_spring_day_has_23_hours_and_the_autumn_day_25() {
        let spring = PacificDay::of(ms("2026-03-08T20:00:00Z"));
        assert_eq!(
            spring,
            PacificDay { start_ms: ms("2026-03-08T08:00:00Z"), end_ms: ms("2026-03-09T07:00:00Z") }
        );
        assert_eq!(hours(spring), 23);
        let autumn = PacificDay::of(ms("2026-11-01T20:00:00Z"));
        assert_eq!(
            autumn,
            PacificDay { start_ms: ms("2026-11-01T07:00:00Z"), end_ms: ms("2026-11-02T08:00:00Z") }
        );
        assert_eq!(hours(autumn), 25);
    }

    #[test]
    fn a_moment_beyond_the_calendar_still_has_a_day() {
        let day = PacificDay::of(u64::MAX);
        assert!(day.start_ms < day.end_ms);
    }
}
