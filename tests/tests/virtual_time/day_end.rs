//! Google's day ends at midnight in Los Angeles, on the days with 23 and 25 hours too: after a refusal for the
//! day the next call goes out in the right second.

use std::time::{Duration, UNIX_EPOCH};

use gemini_sim::{Config, Fault, FaultKind, Limits};
use keyrot_core::{KeyRequest, ManualClock};
use keyrot_e2e::world::{MODEL, World, entry, project};
use keyrot_testkit::run_virtual;

/// The midnights before and after each day on which the clocks change, in seconds since 1970:
/// `TZ=America/Los_Angeles date -d '2026-03-08 00:00' +%s` and so on.
const SPRING: [u64; 2] = [1_772_956_800, 1_773_039_600];
const AUTUMN: [u64; 2] = [1_793_516_400, 1_793_606_400];

/// A call that is refused for the day at `refused_at`; gives when it was sent again.
fn sent_again(refused_at: u64, config: Config) -> u64 {
    let clock = ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(refused_at));
    let world = World::new(clock.clone(), config, [entry("only", "p")], 7);
    let request = KeyRequest::model(MODEL).within(Duration::from_secs(26 * 3600));
    run_virtual(clock, async {
        world.generate(&request).await.expect("the day ends within the deadline");
        if world.attempts().len() == 1 {
            world.generate(&request).await.expect("the day ends within the deadline");
        }
    });
    let attempts = world.attempts();
    let sent: Vec<_> = attempts.iter().filter(|attempt| attempt.status == Some(200)).collect();
    let last = sent.last().expect("a call that was accepted");
    let refused = attempts.iter().filter(|attempt| attempt.status == Some(429)).count();
    assert_eq!(refused, 1, "one refusal is enough to know");
    last.time_ms
}

fn scripted() -> Config {
    Config::default().project(project("p", &["only"])).fault(Fault::new(FaultKind::QuotaDay).times(1))
}

/// The provider's own books: one call a day, unknown to keys.json.
fn one_a_day() -> Config {
    Config::default().project(project("p", &["only"]).limit(MODEL, Limits::default().rpd(1)))
}

fn assert_right_second(refused_at: u64, midnight: u64) {
    for config in [scripted(), one_a_day()] {
        let sent = sent_again(refused_at, config);
        assert_eq!(sent / 1000, midnight, "refused at {refused_at}: sent {sent} ms after 1970");
    }
}

#[test]
fn half_a_minute_before_the_spring_day_ends() {
    assert_right_second(SPRING[1] - 30, SPRING[1]);
}

#[test]
fn half_a_minute_before_the_spring_day_begins() {
    assert_right_second(SPRING[0] - 30, SPRING[0]);
}

#[test]
fn half_a_minute_into_the_spring_day_of_23_hours() {
    assert_eq!(SPRING[1] - SPRING[0], 23 * 3600);
    assert_right_second(SPRING[0] + 30, SPRING[1]);
}

#[test]
fn half_a_minute_before_the_autumn_day_ends() {
    assert_right_second(AUTUMN[1] - 30, AUTUMN[1]);
}

#[test]
fn half_a_minute_before_the_autumn_day_begins() {
    assert_right_second(AUTUMN[0] - 30, AUTUMN[0]);
}

#[test]
fn half_a_minute_into_the_autumn_day_of_25_hours() {
    assert_eq!(AUTUMN[1] - AUTUMN[0], 25 * 3600);
    assert_right_second(AUTUMN[0] + 30, AUTUMN[1]);
}
