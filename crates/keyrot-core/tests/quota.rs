//! The quota record alone: what the suite of limiters cannot see from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{
    Admitted, Denied, Disposition, Group, LearnedLimit, Limits, Millis, Quota, QuotaRecord, Reason,
    Reservation,
};

/// 2026-01-05T12:00:00Z, 20 hours before midnight in Los Angeles.
const START: Millis = 1_767_614_400_000;
const HOUR: Millis = 3_600_000;
const DAY_END: Millis = START + 20 * HOUR;

fn reserve(record: &mut QuotaRecord, now: Millis, tokens: u64, limits: Limits) -> Result<Admitted, Denied> {
    record.reserve(now, tokens, limits, Duration::from_secs(60))
}

fn settle(record: &mut QuotaRecord, now: Millis, taken: &Admitted, tokens: u64, what: Disposition) -> bool {
    let group = Arc::new(Group { project: "a".into(), model: "m".into() });
    let Admitted { at, day_end, probe, .. } = *taken;
    record.settle(now, &Reservation::new(group, at, tokens, day_end, 1, probe), what)
}

fn proven(now: Millis) -> QuotaRecord {
    let mut record = QuotaRecord::default();
    let call = reserve(&mut record, now - 61_000, 0, Limits::default()).unwrap();
    let sent = Disposition::Sent { input_tokens: Some(0), proven: true };
    assert!(settle(&mut record, now - 61_000, &call, 0, sent));
    record
}

fn rpm(limit: u32) -> Limits {
    Limits::new(Some(limit), None, None)
}

/// The share of the limit that a saturating caller gets, its first minute not counted.
#[test]
fn a_saturating_load_gets_97_percent() {
    for limit in [1, 2, 10, 60, 1000] {
        let mut record = proven(START);
        let (mut now, mut sent) = (START, 0);
        let end = START + 61 * 60_000;
        while now < end {
            match reserve(&mut record, now, 1, rpm(limit)) {
                Ok(_) if now >= START + 60_000 => sent += 1,
                Ok(_) => {}
                Err(denied) => now = denied.not_before.unwrap(),
            }
        }
        let share = f64::from(sent) / f64::from(limit * 60);
        assert!((0.97..=1.0).contains(&share), "{limit}: {share}");
    }
}

/// The same if the calls come evenly, so that cells are shared.
#[test]
fn an_even_load_at_the_limit_gets_97_percent() {
    for limit in [10, 60, 1000_u32] {
        let mut record = proven(START);
        let (mut sent, mut ready) = (0, START);
        for tick in 0..61 * 60_000 {
            let now = START + tick;
            if now >= ready && tick * u64::from(limit) / 60_000 > sent {
                match reserve(&mut record, now, 1, rpm(limit)) {
                    Ok(_) => sent += 1,
                    Err(denied) => ready = denied.not_before.unwrap(),
                }
            }
        }
        let share = sent as f64 / (f64::from(limit) * 61.0);
        assert!((0.97..=1.0).contains(&share), "{limit}: {share}");
    }
}

#[test]
fn a_request_too_large_for_a_learned_limit_fits_when_that_is_forgotten() {
    let mut record = proven(START);
    record.learn(START, LearnedLimit { quota: Quota::TokensPerMinute, value: Some(100) });
    let limits = Limits::new(None, Some(1000), None);
    let denied = reserve(&mut record, START, 500, limits).unwrap_err();
    assert_eq!(denied, Denied { not_before: Some(START + 24 * HOUR), reason: Reason::TooLarge });
    assert!(reserve(&mut record, START + 24 * HOUR - 1, 500, limits).is_err());
    assert!(reserve(&mut record, START + 24 * HOUR, 500, limits).is_ok());
}

#[test]
fn a_step_of_the_pace_that_comes_back_brings_a_call_forward() {
    let mut record = proven(START);
    for step in 1..=2 {
        assert!(record.tighten(START + step, rpm(4), START + step)); // a burst of 1, every 15 s
    }
    let recovery = START + 2 + 30 * 60_000;
    let before = recovery - 1_000;
    assert!(reserve(&mut record, before, 1, rpm(4)).is_ok());
    let denied = reserve(&mut record, before, 1, rpm(4)).unwrap_err();
    assert_eq!(denied, Denied { not_before: Some(recovery), reason: Reason::Pace });
    assert!(reserve(&mut record, recovery - 1, 1, rpm(4)).is_err());
    assert!(reserve(&mut record, recovery, 1, rpm(4)).is_ok());
}

#[test]
fn only_the_last_paced_call_gives_its_place_back() {
    let mut record = proven(START);
    for step in 1..=3 {
        record.tighten(START + step, rpm(4), START + step); // one in 20.3 s
    }
    let first_at = reserve(&mut record, START + 3, 1, rpm(4)).unwrap_err().not_before.unwrap();
    let first = reserve(&mut record, first_at, 1, rpm(4)).unwrap();
    let second_at = reserve(&mut record, first_at, 1, rpm(4)).unwrap_err().not_before.unwrap();
    let second = reserve(&mut record, second_at, 1, rpm(4)).unwrap();
    settle(&mut record, second_at + 1, &first, 1, Disposition::Release);
    let denied = reserve(&mut record, second_at + 1, 1, rpm(4)).unwrap_err();
    assert_eq!(denied.reason, Reason::Pace, "the second call keeps its distance");
    settle(&mut record, second_at + 2, &second, 1, Disposition::Release);
    assert!(reserve(&mut record, second_at + 2, 1, rpm(4)).is_ok());
}

#[test]
fn a_call_is_sent_soon_by_the_clock_of_the_caller() {
    let mut record = proven(START);
    assert_eq!(reserve(&mut record, START, 1, rpm(9)).unwrap().send_by, START + 500);
    let frozen = reserve(&mut record, START - 20_000, 1, rpm(9)).unwrap();
    assert_eq!((frozen.at, frozen.send_by), (START, START - 20_000 + 500));
}

#[test]
fn a_clock_that_was_days_ahead_does_not_shut_the_group_for_days() {
    let rpd = Limits::new(None, None, Some(2));
    let mut record = proven(START + 72 * HOUR);
    assert!(reserve(&mut record, START + 72 * HOUR, 1, rpd).is_ok());
    let denied = reserve(&mut record, START, 1, rpd).unwrap_err();
    assert_eq!(denied, Denied { not_before: Some(DAY_END), reason: Reason::DayQuota });
    assert!(reserve(&mut record, DAY_END, 1, rpd).is_ok());
}

#[test]
fn a_late_settle_is_not_taken_for_one_of_a_newer_call_after_the_clock_went_back() {
    let mut record = proven(START);
    let old = reserve(&mut record, START, 500, Limits::default()).unwrap();
    reserve(&mut record, START - HOUR, 700, Limits::default()).unwrap();
    reserve(&mut record, START - HOUR + 61_000, 300, Limits::default()).unwrap();
    reserve(&mut record, START + 10, 900, Limits::default()).unwrap(); // the wall is where it was
    let released = Disposition::Sent { input_tokens: Some(0), proven: false };
    settle(&mut record, START + 20, &old, 500, released);
    assert_eq!(record.usage(START + 20, Limits::default()).minute_tokens, 900);
}

#[test]
fn huge_numbers_are_taken_as_far_as_they_go() {
    let mut record = proven(START);
    let call = reserve(&mut record, START, u64::MAX, Limits::default()).unwrap();
    let sent = Disposition::Sent { input_tokens: Some(u64::MAX), proven: false };
    settle(&mut record, START, &call, 1, sent);
    let wide = Limits::new(None, Some(u64::MAX), None);
    assert_eq!(reserve(&mut record, START, u64::MAX, wide).unwrap_err().reason, Reason::TooLarge);
    assert!(record.usage(START, wide).minute_tokens >= u64::from(u32::MAX));
}

#[test]
fn a_record_is_kept_as_long_as_it_says_something() {
    let mut record = proven(START);
    assert_eq!(record.kept_until(), DAY_END);
    reserve(&mut record, DAY_END - 1, 1, rpm(9)).unwrap();
    assert_eq!(record.kept_until(), DAY_END - 1 + 61_000);
    record.tighten(DAY_END - 1, rpm(9), DAY_END - 1);
    assert_eq!(record.kept_until(), DAY_END - 1 + 30 * 60_000);
    record.learn(DAY_END - 1, LearnedLimit { quota: Quota::RequestsPerDay, value: Some(5) });
    assert_eq!(record.kept_until(), DAY_END - 1 + 24 * HOUR);
    record.forgive();
    assert_eq!(record.kept_until(), DAY_END - 1 + 61_000);
}
