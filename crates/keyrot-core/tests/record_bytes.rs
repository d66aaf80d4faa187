//! Stored records: fixtures of every version, newer versions, damage. `PROPTEST_CASES` sets the
//! number of cases.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::books::IssuerRecord;
use keyrot_core::{
    Backoff, CounterRecord, Disposition, Group, KeyId, LearnedLimit, LimiterErrorKind, Limits, Millis, Quota,
    QuotaRecord, Reason, Reservation, ScopeRecord, Span, Tally,
};
use proptest::collection::vec;
use proptest::prelude::*;

const QUOTA_1: &str = include_str!("fixtures/quota_record_1.hex");
const SCOPE_1: &str = include_str!("fixtures/scope_record_1.hex");
const COUNTER_1: &str = include_str!("fixtures/counter_record_1.hex");
const ISSUER_1: &str = include_str!("fixtures/issuer_record_1.hex");
/// 2026-01-05T12:00:00Z.
const START: Millis = 1_767_614_400_000;

fn limits() -> Limits {
    Limits::new(Some(10), Some(5000), Some(100))
}

/// The bytes of a fixture; what follows `#` in a line is for people.
fn bytes(fixture: &str) -> Vec<u8> {
    let digits: Vec<u8> = fixture
        .lines()
        .flat_map(|line| line.split('#').next().unwrap().bytes())
        .filter(u8::is_ascii_hexdigit)
        .collect();
    digits.chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// A record with something in every field.
fn quota_record() -> QuotaRecord {
    let mut record = QuotaRecord::default();
    let probe_ttl = Duration::from_secs(30);
    let first = record.reserve(START, 100, limits(), probe_ttl).unwrap();
    let group = Arc::new(Group { project: "a".into(), model: "m".into() });
    let taken = Reservation::new(group, first.at, 100, first.day_end, 1, true);
    record.settle(START, &taken, Disposition::Sent { input_tokens: Some(70), proven: true });
    record.tighten(START + 1_000, limits(), START);
    record.learn(START + 1_000, LearnedLimit { quota: Quota::RequestsPerMinute, value: Some(8) });
    record.learn(START + 2_000, LearnedLimit { quota: Quota::TokensPerMinute, value: Some(4000) });
    record.learn(START + 3_000, LearnedLimit { quota: Quota::RequestsPerDay, value: Some(50) });
    record.doubt(START + 4_000);
    record.reserve(START + 30_000, 1000, limits(), probe_ttl).unwrap();
    record.reserve(START - 3_600_000, 2000, limits(), probe_ttl).unwrap(); // the clock went back
    record.exhaust_day(START - 3_600_000, START);
    record
}

fn scope_record() -> ScopeRecord {
    let mut record = ScopeRecord::default();
    record.reset(START - 5_000);
    for (at, since) in [(START, START - 100), (START + 40_000, START + 39_000)] {
        record.block(at, since, Reason::KeyRejected, Span::Backoff, Backoff::default(), 500);
    }
    record
}

fn counter_record() -> CounterRecord {
    let mut record = CounterRecord::default();
    let tally = Tally {
        key: KeyId::parse("k").unwrap(),
        used_at: START + 2_000,
        successes: 300,
        errors: 70_000,
        abandoned: 0,
    };
    record.add(&tally);
    record.add(&Tally { used_at: START, successes: 0, errors: 0, abandoned: 1, ..tally });
    record
}

fn issuer_record() -> IssuerRecord {
    let mut record = IssuerRecord::default();
    record.heard_at = START;
    assert!([1_000, 1_001, 1_030, 1_028].into_iter().all(|number| record.is_new(number)));
    record
}

#[test]
fn fixtures_of_version_1_are_read_and_written_exactly() {
    assert_eq!(QuotaRecord::from_bytes(&bytes(QUOTA_1)).unwrap(), quota_record());
    assert_eq!(quota_record().to_bytes(), bytes(QUOTA_1));
    assert_eq!(ScopeRecord::from_bytes(&bytes(SCOPE_1)).unwrap(), scope_record());
    assert_eq!(scope_record().to_bytes(), bytes(SCOPE_1));
    assert_eq!(CounterRecord::from_bytes(&bytes(COUNTER_1)).unwrap(), counter_record());
    assert_eq!(counter_record().to_bytes(), bytes(COUNTER_1));
    assert_eq!(IssuerRecord::from_bytes(&bytes(ISSUER_1)).unwrap(), issuer_record());
    assert_eq!(issuer_record().to_bytes(), bytes(ISSUER_1));
}

#[test]
fn a_healthy_record_is_small() {
    assert_eq!(QuotaRecord::default().to_bytes().len(), 113);
    assert_eq!(ScopeRecord::default().to_bytes().len(), 23);
}

#[test]
fn a_newer_version_is_refused_with_a_message() {
    for mut stored in [quota_record().to_bytes(), scope_record().to_bytes()] {
        stored[0] = 2;
        for (error, what) in [
            (QuotaRecord::from_bytes(&stored).unwrap_err(), "quota record"),
            (ScopeRecord::from_bytes(&stored).unwrap_err(), "scope record"),
        ] {
            assert_eq!(error.kind(), LimiterErrorKind::Incompatible);
            let text = error.to_string();
            assert!(text.starts_with(&format!("a {what} of version 2")), "{text}");
            assert!(text.contains("Upgrade keyrot") && text.contains("KEYROT_POOL"), "{text}");
        }
    }
}

#[test]
fn damage_is_refused_and_named() {
    let good = quota_record().to_bytes();
    let damaged = |at: usize, value: u8| {
        let mut stored = good.clone();
        stored[at] = value;
        QuotaRecord::from_bytes(&stored).unwrap_err().to_string()
    };
    for (text, why) in [
        (QuotaRecord::from_bytes(&[]).unwrap_err().to_string(), "it is empty"),
        (QuotaRecord::from_bytes(&good[..100]).unwrap_err().to_string(), "it has 100 bytes"),
        (QuotaRecord::from_bytes(&good[..good.len() - 1]).unwrap_err().to_string(), "bytes"),
        (damaged(1, 4), "unknown flags"),
        (damaged(13, 255), "further ahead"),
        (damaged(20, 9), "requests are not those"),
        (damaged(24, 9), "tokens are not those"),
        (damaged(118, 255), "not in order"),
        (damaged(94, 36), "too many steps"),
        (damaged(108, 255), "another age"),
        (ScopeRecord::from_bytes(&[1; 22]).unwrap_err().to_string(), "22 bytes, not 23"),
        (ScopeRecord::from_bytes(&[&[1, 2][..], &[0; 21]].concat()).unwrap_err().to_string(), "flags"),
    ] {
        assert!(text.contains(why), "{text} does not say {why}");
    }
}

#[test]
fn every_reason_comes_back_and_an_unknown_one_is_a_cooldown() {
    let mut seen = Vec::new();
    for code in 1..=19 {
        let mut stored = scope_record().to_bytes();
        stored[2] = code;
        let record = ScopeRecord::from_bytes(&stored).unwrap();
        assert_eq!(record.to_bytes(), stored, "{code}");
        seen.extend(record.reason);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 19);
    let mut stored = scope_record().to_bytes();
    stored[2] = 200;
    assert_eq!(ScopeRecord::from_bytes(&stored).unwrap().reason, Some(Reason::Cooldown));
}

/// Whatever is read can be used.
fn use_it(stored: &[u8], now: Millis) {
    if let Ok(mut record) = QuotaRecord::from_bytes(stored) {
        assert_eq!(QuotaRecord::from_bytes(&record.to_bytes()).unwrap(), record);
        record.usage(now, limits());
        record.kept_until();
        record.tighten(now, limits(), now);
        record.doubt(now);
        record.exhaust_day(now, now);
        if let Ok(got) = record.reserve(now, 10, limits(), Duration::from_secs(1)) {
            let group = Arc::new(Group { project: "a".into(), model: "m".into() });
            let taken = Reservation::new(group, got.at, 10, got.day_end, 1, got.probe);
            record.settle(now + 5, &taken, Disposition::Release);
        }
    }
    if let Ok(mut record) = ScopeRecord::from_bytes(stored) {
        ScopeRecord::from_bytes(&record.to_bytes()).unwrap();
        record.blocked(now);
        record.block(now, now, Reason::Cooldown, Span::Backoff, Backoff::default(), 0);
        record.clear(now);
        record.reset(now);
    }
}

proptest! {
    #[test]
    fn fuzz_record_bytes(
        noise in vec(any::<u8>(), 0..300),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        now in prop_oneof![Just(START), 0..2 * START],
    ) {
        use_it(&noise, now);
        use_it(&[&[1][..], &noise].concat(), now);
        use_it(&[&[1, 3][..], &noise[..noise.len().min(111)], &vec![0; 111 - noise.len().min(111)]].concat(), now);
        for mut stored in [bytes(QUOTA_1), bytes(SCOPE_1), QuotaRecord::default().to_bytes()] {
            for (at, value) in &edits {
                let at = at.index(stored.len());
                stored[at] = *value;
            }
            use_it(&stored, now);
        }
    }
}
