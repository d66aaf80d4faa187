//! A thousand requests over four keys of which one is well: no caller notices, and hardly a call is wasted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use gemini_sim::{Attempt, Operation};
use keyrot_core::{Clock, KeyRequest, ManualClock};
use keyrot_e2e::four_keys::{C_RESTS_MS, CONCURRENCY, REQUESTS, entries, exhausted, healthy, troubled};
use keyrot_e2e::record::{of_key, replied_ms};
use keyrot_e2e::world::{MODEL, World};
use keyrot_testkit::run_virtual;

/// The first rest of a rejected key, and how far jitter may lengthen it.
const FIRST_REST_MS: u64 = 30_000;

/// Sends a thousand requests, 16 at a time, and gives the record. No caller may see an error.
fn thousand_requests(upstream_ms: u64, operation: Operation, seed: u64) -> Vec<Attempt> {
    let clock = ManualClock::default();
    let world = World::new(clock.clone(), troubled(upstream_ms), entries(), seed);
    let sent = Arc::new(AtomicUsize::new(0));
    run_virtual(clock, async {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENCY {
            let (world, sent) = (world.clone(), Arc::clone(&sent));
            callers.spawn(async move {
                while sent.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                    let done = world.call(&KeyRequest::model(MODEL), operation, 1000).await;
                    done.unwrap_or_else(|error| panic!("seed {seed}: a caller saw an error: {error:?}"));
                }
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
    });
    world.attempts()
}

/// Whenever a reply to the key was known, nothing was sent with it for so long.
fn assert_left_alone(attempts: &[Attempt], id: &str, rest_ms: u64, context: &str) {
    let of_key = of_key(attempts, id);
    assert!(!of_key.is_empty(), "{context}: {id} was never tried");
    for known in of_key.iter().map(|attempt| replied_ms(attempt)) {
        let early = of_key.iter().find(|attempt| (known + 1..known + rest_ms).contains(&attempt.time_ms));
        assert_eq!(early, None, "{context}: {id} was refused at {known}");
    }
}

fn few_attempts_and_none_after_a_refusal(operation: Operation) {
    for seed in 0..20 {
        let attempts = thousand_requests(50, operation, seed);
        let answered = attempts.iter().filter(|attempt| attempt.status == Some(200)).count();
        assert_eq!(answered, REQUESTS, "seed {seed}");
        println!(
            "seed {seed}: {:.3} attempts a request; B {}, C {}, D {}",
            attempts.len() as f64 / REQUESTS as f64,
            of_key(&attempts, "B").len(),
            of_key(&attempts, "C").len(),
            of_key(&attempts, "D").len(),
        );
        assert!(attempts.len() * 100 <= REQUESTS * 102, "seed {seed}: {} attempts", attempts.len());
        assert_left_alone(&attempts, "B", FIRST_REST_MS, &format!("seed {seed}"));
        assert_left_alone(&attempts, "C", C_RESTS_MS, &format!("seed {seed}"));
    }
}

#[test]
fn a_thousand_requests_take_at_most_1020_attempts() {
    few_attempts_and_none_after_a_refusal(Operation::Generate);
}

#[test]
fn a_thousand_streams_take_at_most_1020_attempts() {
    few_attempts_and_none_after_a_refusal(Operation::Stream);
}

/// The same over minutes: B is probed once when its rest is over, and the rests double; C is used again when the
/// time that the provider named has passed, and never before.
#[test]
fn a_rejected_key_is_probed_once_a_step() {
    for seed in 0..20 {
        let attempts = thousand_requests(5000, Operation::Generate, seed);
        let b = of_key(&attempts, "B");
        let first = replied_ms(b[0]);
        let probes: Vec<u64> = b.iter().map(|attempt| attempt.time_ms).filter(|time| *time > first).collect();
        // Rests of 30, 60, 120 s and up to a tenth more: the run lasts 312 s at least.
        assert_eq!(probes.len(), 3, "seed {seed}: {probes:?} after {first}");
        let mut rested_from = first;
        for (probe, rest) in probes.iter().zip([30_000, 60_000, 120_000]) {
            let rested = probe - rested_from;
            assert!((rest..rest * 11 / 10 + 5000).contains(&rested), "seed {seed}: {rested} of {rest} ms");
            rested_from = probe + 5; // a refusal takes 5 ms
        }
        assert_left_alone(&attempts, "C", C_RESTS_MS, &format!("seed {seed}"));
        let c = of_key(&attempts, "C");
        assert!(c.len() >= 9, "seed {seed}: C is not asked again when its time has come: {c:?}");
    }
}

/// Callers who cannot wait for 20 s.
fn impatient() -> KeyRequest {
    KeyRequest::model(MODEL).within(Duration::from_secs(5))
}

#[test]
fn exhausted_keys_cost_eight_attempts_and_everybody_hears_the_earliest_time() {
    for seed in 0..20 {
        let clock = ManualClock::default();
        let world = World::new(clock.clone(), exhausted(), entries(), seed);
        run_virtual(clock, async {
            let first = hundred_refusals(&world).await;
            assert!(world.attempts().len() <= 8, "seed {seed}: {} attempts", world.attempts().len());
            let a_free =
                of_key(&world.attempts(), "A").iter().map(|attempt| replied_ms(attempt)).max().unwrap()
                    + 20_000;
            assert!(first.iter().all(|at| *at == a_free), "seed {seed}: {first:?}, A is free at {a_free}");
            let before = world.attempts().len();
            let second = hundred_refusals(&world).await;
            assert_eq!(world.attempts().len(), before, "seed {seed}: a call was sent in vain");
            assert!(second.iter().all(|at| *at == a_free), "seed {seed}: {second:?}, A is free at {a_free}");
        });
    }
}

/// A hundred callers at once; gives when each was told to come again, in ms since 1970.
async fn hundred_refusals(world: &World) -> Vec<u64> {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let world = world.clone();
        callers.spawn(async move {
            let error = world.generate(&impatient()).await.expect_err("no key can serve it");
            let wait = error.retry_after().unwrap_or_else(|| panic!("no time to come again: {error:?}"));
            let at = world.clock.wall() + wait;
            u64::try_from(at.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
        });
    }
    let mut told = Vec::new();
    while let Some(caller) = callers.join_next().await {
        told.push(caller.unwrap());
    }
    told
}

#[test]
fn a_callers_own_bad_request_burns_no_key() {
    for operation in [Operation::Generate, Operation::Stream] {
        let clock = ManualClock::default();
        let world = World::new(clock.clone(), healthy(50), entries(), 7);
        run_virtual(clock, async {
            for _ in 0..20 {
                let error = world.call(&KeyRequest::model(MODEL), operation, 2_000_000).await;
                assert_eq!(error.expect_err("more tokens than the model reads").attempts.len(), 1);
            }
            assert_eq!(world.attempts().len(), 20);
            for (id, health) in world.pool.health() {
                let unharmed = health.error_count == 0 && !health.in_cooldown && health.strikes == 0;
                assert!(unharmed, "{id}: {health:?}");
            }
            world.generate(&KeyRequest::model(MODEL)).await.expect("every key is as good as before");
        });
    }
}
