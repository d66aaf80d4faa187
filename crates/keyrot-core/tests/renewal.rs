//! Secrets that are replaced, refused, lost or slow to come while the pool works.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "common/scripted.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, DEADLINE, MODEL, Says, rejected, request};
use keyrot_core::{
    AcquireError, Blame, Clock, Effect, KeyRequest, ManualClock, Outcome, Reason, SecretCache,
    SecretErrorKind, Usage,
};
use keyrot_testkit::leak::assert_absent;
use keyrot_testkit::{Captured, run_virtual};
use tokio::task::JoinSet;

/// So long a call may wait for a store while another key is free.
const GRACE: Duration = Duration::from_millis(250);

fn virtually<T>(test: impl AsyncFnOnce(ManualClock) -> T) -> T {
    let clock = ManualClock::default();
    run_virtual(clock.clone(), test(clock))
}

fn one_second(of: Duration) -> bool {
    of == Duration::from_secs(1)
}

#[test]
fn a_refused_call_reads_once_goes_on_with_the_new_value_and_succeeds() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        bench.rotate("a", "a-1", Says::Value("a-2"));
        let done = bench.call().await.unwrap();
        assert_eq!((&*done.value, done.attempts.len()), ("a-2", 2));
        assert!(done.attempts.iter().all(|attempt| one_second(attempt.latency)));
        assert_eq!(bench.reads(), ["a"]);
        let health = bench.health("a");
        assert_eq!((health.in_cooldown, health.strikes, health.secret_changes), (false, 0, 1), "{health:?}");
        assert_eq!((health.success_count, health.error_count, health.last_error), (1, 1, None));
        assert_eq!(bench.call().await.unwrap().attempts.len(), 1);
    });
}

#[test]
fn two_hundred_requests_see_nothing_of_a_rotation_and_the_store_is_read_once_more() {
    virtually(async |clock| {
        let bench = Arc::new(Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await);
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let bench = Arc::clone(&bench);
            callers.spawn(async move {
                for number in 0..25 {
                    if (caller, number) == (0, 12) {
                        bench.rotate("a", "a-1", Says::Slow(Duration::from_millis(40), "a-2"));
                    }
                    bench.call().await.unwrap();
                }
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
        assert_eq!(bench.reads(), ["a"]);
        let (a, b) = (bench.health("a"), bench.health("b"));
        assert_eq!((a.success_count + b.success_count, b.error_count), (200, 0));
        assert!((1..=8).contains(&a.error_count), "{a:?}");
        assert_eq!((a.secret_changes, b.secret_changes), (1, 0));
    });
}

#[test]
fn a_late_refusal_of_the_old_value_does_nothing_to_the_new_one() {
    for late in [
        rejected(),
        Outcome::new(Blame::Key, Effect::Cooldown, "slow down"),
        Outcome::new(Blame::Key, Effect::Transient, "cut off"),
    ] {
        virtually(async |clock| {
            let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
            let old = bench.lease("a").await;
            bench.rotate("a", "a-1", Says::Value("a-2"));
            bench.lease("a").await.report(rejected()).await;
            bench.lease("a").await.succeeded(Usage::default()).await;
            bench.lease("b").await.succeeded(Usage::default()).await;
            old.report(late.clone()).await;
            let health = bench.health("a");
            assert_eq!((health.in_cooldown, health.strikes), (false, 0), "{late:?}: {health:?}");
            assert_eq!(health.last_error, None, "{late:?}");
            assert_eq!(bench.reads(), ["a"], "{late:?}: nothing is read for it");
        });
    }
}

#[test]
fn a_late_success_or_refusal_of_the_old_value_does_not_excuse_the_new_one() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        let (first, second) = (bench.lease("a").await, bench.lease("a").await);
        second.succeeded(Usage::default()).await; // the group is proven
        let (second, third) = (bench.lease("a").await, bench.lease("a").await);
        bench.rotate("a", "a-1", Says::Value("a-2"));
        first.report(rejected()).await;
        bench.refuse("a-2");
        bench.pass(Duration::from_secs(2)).await;
        bench.lease("a").await.report(rejected()).await;
        let before = bench.health("a");
        assert_eq!((before.reason, before.strikes), (Some(Reason::KeyRejected), 1));
        second.report(rejected()).await;
        let after = bench.health("a");
        assert_eq!((after.reason, after.strikes), (Some(Reason::KeyRejected), 1), "{after:?}");
        third.succeeded(Usage::default()).await;
        let after = bench.health("a");
        assert_eq!((after.reason, after.strikes), (Some(Reason::KeyRejected), 1), "{after:?}");
    });
}

#[test]
fn while_the_store_hangs_a_refused_call_goes_on_with_another_key() {
    for fresh in [false, true] {
        virtually(async |clock| {
            let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
            if fresh {
                bench.keep_fresh();
            }
            bench.rotate("a", "a-1", Says::Hangs);
            let mut refused = 0;
            // with nobody who refreshes, the call that probes the key after 30 s has to wait for the store
            let calls = if fresh { 100 } else { 20 };
            for _ in 0..calls {
                let start = clock.now();
                let done = bench.call().await.unwrap();
                assert_eq!(done.value, "b-1");
                let waited = clock.now() - start - Duration::from_secs(done.attempts.len() as u64);
                assert!(waited <= GRACE, "{waited:?}");
                refused += done.attempts.len() - 1;
            }
            assert_eq!(refused, 1, "no probe was sent, for its secret could not be read");
            assert_eq!(bench.health("b").success_count, calls);
            let reason = bench.health("a").reason;
            assert!(matches!(reason, Some(Reason::KeyRejected | Reason::SecretUnavailable)), "{reason:?}");
        });
    }
}

#[test]
fn a_store_that_is_down_stops_no_other_key_and_no_key_whose_value_is_held() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
        bench.keep_fresh();
        bench.refuse("a-1");
        for id in ["a", "b"] {
            bench.says(id, Says::Trouble(SecretErrorKind::Unreachable));
        }
        for _ in 0..600 {
            let start = clock.now();
            let done = bench.call().await.unwrap();
            let sent = Duration::from_secs(done.attempts.len() as u64);
            assert_eq!((&*done.value, clock.now() - start), ("b-1", sent), "nobody waits");
        }
        assert_eq!(bench.health("b").error_count, 0);
        bench.rotate("a", "a-1", Says::Value("a-2"));
        bench.pass(SecretCache::PAUSE + Duration::from_secs(5)).await;
        let health = bench.health("a");
        assert_eq!((health.reason, health.strikes, health.secret_changes), (None, 0, 1), "{health:?}");
    });
}

#[test]
fn a_slow_store_is_not_waited_for_and_its_answer_brings_the_key_back() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
        bench.keep_fresh();
        bench.rotate("a", "a-1", Says::Slow(Duration::from_secs(3), "a-2"));
        let old = bench.lease("a").await;
        let start = clock.now();
        old.report(rejected()).await;
        assert_eq!(clock.now() - start, GRACE);
        assert_eq!(bench.health("a").reason, Some(Reason::KeyRejected));
        assert_eq!(bench.call().await.unwrap().value, "b-1");
        bench.pass(Duration::from_secs(3)).await;
        let health = bench.health("a");
        assert_eq!((health.reason, health.strikes, health.secret_changes), (None, 0, 1), "{health:?}");
        bench.lease("a").await.succeeded(Usage::default()).await;
        assert_eq!(bench.reads(), ["a", "a"], "the read that was given up, and the one in the background");
    });
}

#[test]
fn the_last_key_waits_for_a_slow_store_and_goes_on_with_the_new_value() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        bench.keep_fresh();
        bench.rotate("a", "a-1", Says::Slow(Duration::from_secs(3), "a-2"));
        let start = clock.now();
        let done = bench.call().await.unwrap();
        assert_eq!((&*done.value, done.attempts.len()), ("a-2", 2));
        assert_eq!(clock.now() - start, Duration::from_secs(5));
    });
}

#[test]
fn all_keys_replaced_at_once_behind_a_slow_store_cost_no_call() {
    virtually(async |clock| {
        let secrets = [("a", "a-1"), ("b", "b-1"), ("c", "c-1"), ("d", "d-1")];
        let bench = Bench::of(&clock, &secrets).await;
        bench.keep_fresh();
        for ((id, old), new) in secrets.into_iter().zip(["a-2", "b-2", "c-2", "d-2"]) {
            bench.rotate(id, old, Says::Slow(Duration::from_secs(2), new));
        }
        let done = bench.call().await.unwrap();
        assert!(done.value.ends_with("-2") && done.attempts.len() <= 5, "{done:?}");
        bench.pass(Duration::from_secs(10)).await;
        for health in bench.pool.health().values() {
            assert_eq!((health.in_cooldown, health.strikes), (false, 0), "{health:?}");
        }
    });
}

#[test]
fn a_probe_behind_a_store_that_hangs_holds_up_nobody() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
        bench.keep_fresh();
        bench.refuse("a-1");
        bench.lease("a").await.report(rejected()).await;
        bench.says("a", Says::Hangs);
        bench.pass(Duration::from_secs(40)).await; // the next one that gets the key probes it
        for _ in 0..50 {
            let start = clock.now();
            drop(bench.pool.acquire(&request()).await.unwrap());
            assert!(clock.now() - start <= GRACE, "{:?}", clock.now() - start);
        }
    });
}

#[test]
fn a_missing_secret_behind_a_store_that_hangs_holds_up_nobody() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
        bench.keep_fresh();
        bench.says("a", Says::Trouble(SecretErrorKind::NotFound));
        bench.pass(SecretCache::DEFAULT_TTL).await;
        bench.says("a", Says::Hangs);
        for _ in 0..100 {
            let start = clock.now();
            let done = bench.call().await.unwrap();
            assert_eq!(done.value, "b-1");
            assert!(clock.now() - start <= Duration::from_secs(1) + GRACE);
        }
        bench.rotate("a", "a-1", Says::Value("a-2"));
        bench.pass(SecretCache::PAUSE + DEADLINE * 2).await;
        assert_eq!(bench.health("a").reason, None);
    });
}

#[test]
fn a_lost_secret_takes_its_key_out_with_the_reason_and_back_when_it_returns() {
    for kind in [SecretErrorKind::NotFound, SecretErrorKind::Disabled, SecretErrorKind::Denied] {
        virtually(async |clock| {
            let bench = Bench::of(&clock, &[("a", "a-1"), ("b", "b-1")]).await;
            bench.keep_fresh();
            bench.says("a", Says::Trouble(kind));
            bench.pass(SecretCache::DEFAULT_TTL).await;
            let why = format!("test:a: {kind:?}");
            let health = bench.health("a");
            assert_eq!(health.reason, Some(Reason::SecretUnavailable), "nobody had to call: {health:?}");
            assert_eq!(health.secret_error, Some(why.clone()));
            let explained = bench.pool.explain(&KeyRequest::model(MODEL)).await.unwrap();
            assert_eq!(explained.selectable.len(), 1);
            assert_eq!(explained.blocked[0].reason, Reason::SecretUnavailable);
            assert_eq!(explained.blocked[0].detail, Some(why));
            for _ in 0..20 {
                assert_eq!(bench.call().await.unwrap().value, "b-1");
            }
            bench.says("a", Says::Value("a-1"));
            bench.pass(SecretCache::PAUSE + Duration::from_secs(5)).await;
            let health = bench.health("a");
            assert_eq!((health.reason, &health.secret_error), (None, &None), "{health:?}");
            bench.lease("a").await.succeeded(Usage::default()).await;
        });
    }
}

#[test]
fn whoever_waits_for_a_lost_secret_is_woken_when_it_returns() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        bench.keep_fresh();
        bench.says("a", Says::Trouble(SecretErrorKind::Disabled));
        bench.pass(SecretCache::DEFAULT_TTL).await;
        let told = bench.pool.acquire(&request()).await.unwrap_err();
        assert!(matches!(&told, AcquireError::NoSecret(why) if why == "test:a: Disabled"), "{told}");
        bench.says("a", Says::Value("a-1"));
        bench.pass(SecretCache::PAUSE + Duration::from_secs(5)).await;
        assert_eq!(bench.call().await.unwrap().attempts.len(), 1);
    });
}

#[test]
fn a_new_value_starts_clean_whatever_the_old_one_had_earned() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        bench.refuse("a-1");
        for _ in 0..4 {
            bench.lease("a").await.report(rejected()).await;
            let rest = bench.health("a").cooldown_remaining.unwrap();
            bench.pass(rest + Duration::from_secs(1)).await;
        }
        bench.lease("a").await.report(rejected()).await;
        let old = bench.health("a");
        assert!(old.strikes == 5 && old.in_cooldown && old.last_error.is_some(), "{old:?}");
        bench.rotate("a", "a-1", Says::Value("a-2"));
        bench.pass(SecretCache::DEFAULT_TTL * 4 / 5).await;
        assert!(bench.health("a").in_cooldown);
        bench.pool.refresh_secrets().await;
        let new = bench.health("a");
        assert_eq!((new.strikes, new.in_cooldown, &new.last_error), (0, false, &None), "{new:?}");
        assert_eq!((new.error_count, new.secret_changes), (5, 1), "what was counted stays");
        let leases = [bench.lease("a").await, bench.lease("a").await];
        leases.into_iter().for_each(drop); // two at once: it is no probe
    });
}

#[test]
fn a_quarantined_key_finds_its_new_value_at_its_next_probe_even_if_nobody_refreshes() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        bench.refuse("a-1");
        bench.lease("a").await.report(rejected()).await;
        bench.rotate("a", "a-1", Says::Value("a-2"));
        let rest = bench.health("a").cooldown_remaining.unwrap();
        bench.pass(rest).await;
        let done = bench.call().await.unwrap();
        assert_eq!((&*done.value, done.attempts.len()), ("a-2", 1));
        assert_eq!((bench.health("a").strikes, bench.health("a").secret_changes), (0, 1));
    });
}

#[test]
fn a_value_that_is_written_back_is_a_new_one_too() {
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("a", "a-1")]).await;
        bench.rotate("a", "a-1", Says::Value("a-2"));
        bench.call().await.unwrap();
        bench.rotate("a", "a-2", Says::Value("a-1"));
        assert_eq!(bench.call().await.unwrap().value, "a-1");
        assert_eq!(bench.health("a").secret_changes, 2);
    });
}

#[test]
fn a_replacement_is_logged_once_with_the_key_and_without_the_value() {
    let log = Captured::begin();
    virtually(async |clock| {
        let bench = Bench::of(&clock, &[("logged", "sentinel-1")]).await;
        bench.keep_fresh();
        let leases = [bench.lease("logged").await, bench.lease("logged").await];
        bench.rotate("logged", "sentinel-1", Says::Value("sentinel-2"));
        for lease in leases {
            lease.report(rejected()).await;
        }
        bench.says("logged", Says::Trouble(SecretErrorKind::Disabled));
        bench.pass(SecretCache::DEFAULT_TTL * 2).await;
    });
    let lines = |words: &str| log.text().lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("secret replaced key_id=\"logged\""), 1, "{}", log.text());
    assert_eq!(
        lines("no secret key_id=\"logged\" error=test:logged: Disabled"),
        1,
        "told once, not each 10 s"
    );
    assert_absent(&log.text(), &["sentinel-1", "sentinel-2"]);
}
