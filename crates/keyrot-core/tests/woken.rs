//! Whoever waits for a key looks again at once when something has changed, long before the time that was promised.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[expect(dead_code, reason = "run_virtual moves the clock here")]
#[path = "common/sim.rs"]
mod common;

use std::time::Duration;

use common::{Sim, key, outcome};
use keyrot_core::{AcquireError, Blame, Clock, Effect, KeyRequest, KeySet, Limits, Scope, Usage};
use keyrot_testkit::run_virtual;

const MODEL: &str = "gemini-2.5-flash";

fn request() -> KeyRequest {
    KeyRequest::model(MODEL)
}

/// A call that waits for a key; after a second something happens. Who served it, and after how many seconds.
fn served(
    sim: &Sim,
    used_up: impl AsyncFnOnce(&Sim),
    happens: impl AsyncFnOnce(&Sim),
) -> (Result<String, AcquireError>, f64) {
    run_virtual(sim.clock.clone(), async {
        used_up(sim).await;
        let (pool, begun) = (sim.pool.clone(), sim.clock.now());
        let waiting = tokio::spawn(async move {
            let lease = pool.acquire_within(&request(), Duration::from_secs(300)).await?;
            Ok(lease.key_id().to_string())
        });
        sim.clock.sleep_until(begun + Duration::from_secs(1)).await;
        happens(sim).await;
        (waiting.await.unwrap(), (sim.clock.now() - begun).as_secs_f64())
    })
}

/// One key of one call a minute.
fn one_a_minute() -> Sim {
    Sim::of([key("a", "a").with_limits(Limits::new(Some(1), None, None))])
}

async fn spent(sim: &Sim) {
    sim.pool.acquire(&request()).await.unwrap().begin().unwrap().succeeded(Usage::default()).await;
}

#[test]
fn without_any_news_the_promised_time_is_kept() {
    let (by, after) = served(&one_a_minute(), spent, async |_| {});
    assert_eq!((by.unwrap().as_str(), after), ("a", 61.0));
}

#[test]
fn a_key_that_is_added_serves_who_waits() {
    let (by, after) = served(&one_a_minute(), spent, async |sim| {
        sim.put_secret("b");
        sim.pool.upsert(key("b", "b")).unwrap();
    });
    assert_eq!((by.unwrap().as_str(), after), ("b", 1.0));
}

#[test]
fn a_file_that_is_taken_over_serves_who_waits() {
    let (by, after) = served(&one_a_minute(), spent, async |sim| {
        let mut keys = KeySet::default();
        keys.upsert(key("a", "a").with_limits(Limits::new(Some(60), None, None))).unwrap();
        sim.pool.replace_keys(keys);
    });
    assert_eq!((by.unwrap().as_str(), after), ("a", 1.0));
}

#[test]
fn a_rest_that_a_person_ends_serves_who_waits() {
    let rests = async |sim: &Sim| {
        let call = sim.pool.acquire(&request()).await.unwrap().begin().unwrap();
        call.report(outcome(Blame::Project, Effect::Cooldown)).await;
    };
    let (by, after) = served(&Sim::of([key("a", "a")]), rests, async |sim| {
        sim.pool.reset(&Scope::Project("a".into())).await.unwrap();
    });
    assert_eq!((by.unwrap().as_str(), after), ("a", 1.0));
}

#[test]
fn a_lease_that_is_given_back_serves_who_waits() {
    let (sim, held) = (one_a_minute(), std::cell::RefCell::new(None));
    let holds = async |sim: &Sim| drop(held.replace(Some(sim.pool.acquire(&request()).await.unwrap())));
    let (by, after) = served(&sim, holds, async |_| drop(held.take()));
    assert_eq!((by.unwrap().as_str(), after), ("a", 1.0));
}

#[test]
fn a_pool_that_is_closed_lets_nobody_wait() {
    let (by, after) = served(&one_a_minute(), spent, async |sim| sim.pool.close().await);
    assert!(matches!(by, Err(AcquireError::Closed)) && after == 1.0, "{by:?} after {after} s");
}
