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

/// A call that is refused for the day at `refused_at`, `refusals` times; gives when it was sent again.
fn sent_again(refused_at: u64, refusals: usize, config: Config) -> u64 {
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
    assert_eq!(refused, refusals, "no more refusals than it takes to know");
    last.time_ms
}

/// The first calls are refused for the day, whatever was used.
fn scripted(refusals: u64) -> Config {
    Config::default().project(project("p", &["only"])).fault(Fault::new(FaultKind::QuotaDay).times(refusals))
}

/// The provider's own books: one call a day, unknown to keys.json.
fn one_a_day() -> Config {
    Config::default().project(project("p", &["only"]).limit(MODEL, Limits::default().rpd(1)))
}

fn assert_right_second(refused_at: u64, midnight: u64) {
    for config in [scripted(1), one_a_day()] {
        let sent = sent_again(refused_at, 1, config);
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

/// Our clock is two seconds fast, or the provider closes its books a little later: the refusal is of the day before,
/// and to believe it for the new one would cost that whole day.
#[test]
fn a_refusal_from_the_first_seconds_of_a_day_does_not_cost_that_day() {
    for midnight in [SPRING[0], AUTUMN[0]] {
        let sent = sent_again(midnight + 2, 1, scripted(1));
        assert_eq!(sent / 1000, midnight + 22, "sent {sent} ms after 1970");
    }
}

#[test]
fn the_second_refusal_of_a_new_day_is_believed() {
    for [midnight, next] in [SPRING, AUTUMN] {
        let sent = sent_again(midnight + 2, 2, scripted(2));
        assert_eq!(sent / 1000, next, "sent {sent} ms after 1970");
    }
}

/// Our own books have reached the limit that the refusal names.
#[test]
fn the_first_refusal_is_enough_if_it_names_a_limit_that_was_reached() {
    let [midnight, next] = SPRING;
    let sent = sent_again(midnight + 2, 1, one_a_day());
    assert_eq!(sent / 1000, next, "sent {sent} ms after 1970");
}
