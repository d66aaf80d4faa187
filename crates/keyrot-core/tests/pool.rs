//! The pool as its users see it: selection, failover, cooldowns, waiting.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "common/sim.rs"]
mod common;

use std::time::Duration;

use common::{Sim, key, outcome};
use keyrot_core::{
    AcquireError, Blame, Effect, KeyRequest, Limits, NO_KEYS, Outcome, Reason, RunEnd, Scope, Usage,
};

const MODEL: &str = "gemini-2.5-flash";

#[tokio::test]
async fn a_call_is_counted_at_completion_not_at_selection() {
    let sim = Sim::of([key("a", "p")]);
    let lease = sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap();
    let call = lease.begin().unwrap();
    let health = sim.pool.health();
    assert_eq!((health["a"].success_count, health["a"].last_used.is_some()), (0, true));
    call.succeeded(Usage::input(5)).await;
    assert_eq!(sim.pool.health()["a"].success_count, 1);
}

#[tokio::test]
async fn the_first_failure_rests_30_s_then_60_then_120() {
    let sim = Sim::of([key("a", "p")]);
    for seconds in [30, 60, 120] {
        let lease = sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap().begin().unwrap();
        lease.report(outcome(Blame::Project, Effect::Cooldown)).await;
        let health = &sim.pool.health()["a"];
        let rest = health.cooldown_remaining.unwrap().as_millis();
        assert!((seconds * 1000..=seconds * 1100).contains(&rest), "{seconds} s: {rest} ms");
        assert!(health.in_cooldown);
        let Err(AcquireError::Exhausted(exhausted)) = sim.pool.acquire(&KeyRequest::model(MODEL)).await
        else {
            panic!("the key rests");
        };
        assert_eq!(exhausted.retry_after.unwrap().as_millis(), rest);
        sim.clock.advance(exhausted.retry_after.unwrap());
        assert!(!sim.pool.health()["a"].in_cooldown, "computed, never stale");
    }
}

#[tokio::test]
async fn one_refusal_of_a_project_spares_its_siblings() {
    let keys = ["a1", "a2", "a3"]
        .map(|id| key(id, "a"))
        .into_iter()
        .chain(["b1", "b2", "b3"].map(|id| key(id, "b")));
    let sim = Sim::of(keys);
    let refused = outcome(Blame::ProjectModel, Effect::Cooldown).retry_after(Some(Duration::from_secs(7)));
    let done = sim
        .pool
        .run(&KeyRequest::model(MODEL), async |lease| match lease.project().as_str() {
            "a" => Err(refused.clone()),
            _ => Ok(((), Usage::default())),
        })
        .await
        .unwrap();
    assert!(done.attempts.len() <= 2, "at most one sibling was called: {:?}", done.attempts);
    for _ in 0..50 {
        let lease = sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap().begin().unwrap();
        if done.attempts.len() == 2 {
            assert_eq!(lease.project().as_str(), "b");
        }
        lease.succeeded(Usage::default()).await;
    }
    sim.clock.advance(Duration::from_secs(7));
    assert!(sim.pool.health().values().all(|health| !health.in_cooldown));
}

#[tokio::test]
async fn a_rejected_key_is_probed_once_a_step() {
    let sim = Sim::of([key("bad", "p"), key("good", "q")]);
    let rejected = outcome(Blame::Key, Effect::KeyRejected);
    let begun = std::cell::Cell::new(0);
    let call = async || {
        let request = KeyRequest::model(MODEL);
        sim.pool
            .run(&request, async |lease| match lease.key_id().as_str() {
                "bad" => {
                    begun.set(begun.get() + 1);
                    Err(rejected.clone())
                }
                _ => Ok(((), Usage::default())),
            })
            .await
            .unwrap()
    };
    for (advance, most) in [(0, 1), (33, 2), (66, 3), (132, 4)] {
        sim.clock.advance(Duration::from_secs(advance));
        for _ in 0..40 {
            call().await;
        }
        assert_eq!(begun.get(), most);
    }
    assert_eq!(sim.pool.health()["bad"].reason, Some(Reason::KeyRejected));
}

#[tokio::test]
async fn one_overload_does_not_lock_the_only_key() {
    let sim = Sim::of([key("only", "p")]);
    let overloaded = outcome(Blame::Model, Effect::Overload);
    let tries = std::cell::Cell::new(0);
    let request = KeyRequest::model(MODEL);
    let work = sim.pool.run(&request, async |_| {
        tries.set(tries.get() + 1);
        if tries.get() == 1 { Err(overloaded.clone()) } else { Ok((7, Usage::default())) }
    });
    assert_eq!(sim.drive(work).await.unwrap().value, 7);
    assert!(!sim.pool.health()["only"].in_cooldown);
}

#[tokio::test]
async fn a_bad_request_is_returned_at_once_and_punishes_nobody() {
    let sim = Sim::of([key("a", "p"), key("b", "q")]);
    for _ in 0..20 {
        let error = sim
            .pool
            .run(&KeyRequest::model(MODEL), async |_| {
                Err::<((), Usage), _>(Outcome::new(Blame::Caller, Effect::Fail, "bad field"))
            })
            .await
            .unwrap_err();
        assert_eq!(error.attempts.len(), 1);
        assert!(matches!(error.end, RunEnd::Failed(_)));
    }
    assert!(sim.pool.health().values().all(|health| health.error_count == 0 && !health.in_cooldown));
}

#[tokio::test]
async fn a_dropped_lease_gives_everything_back_before_it_is_sent_and_nothing_after() {
    let sim = Sim::of([key("a", "p").with_limits(Limits::new(Some(1), None, Some(1)))]);
    drop(sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap());
    let call = sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap().begin().unwrap();
    drop(call);
    assert_eq!(sim.pool.health()["a"].abandoned_count, 1);
    assert!(sim.pool.acquire(&KeyRequest::model(MODEL)).await.is_err());
    let usage = sim.pool.usage().await.unwrap();
    assert_eq!((usage[0].2.minute_requests, usage[0].2.day_requests), (1, 1));
}

#[tokio::test]
async fn refusals_name_the_reason_and_the_time() {
    let sim = Sim::of([key("a", "p").with_limits(Limits::new(Some(1), None, None))]);
    let request = KeyRequest::model(MODEL);
    sim.pool.acquire(&request).await.unwrap().begin().unwrap().succeeded(Usage::default()).await;
    let error = sim.pool.acquire(&request).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(NO_KEYS) && text.contains("requests_per_minute") && text.contains("61.0 s"),
        "{text}"
    );
    let explained = sim.pool.explain(&request).await.unwrap();
    assert_eq!(explained.blocked[0].reason, Reason::MinuteRequests);
    assert!(matches!(explained.blocked[0].scope, Scope::ProjectModel(..)));
    let error = sim.pool.acquire(&KeyRequest::model("gemini-9")).await.unwrap_err().to_string();
    assert!(error.starts_with(NO_KEYS) && error.contains("gemini-9") && error.contains(MODEL), "{error}");
}

#[tokio::test]
async fn an_upserted_key_is_selectable_at_the_next_acquire() {
    let sim = Sim::of([key("a", "p").with_limits(Limits::new(Some(0), None, None))]);
    let request = KeyRequest::model(MODEL);
    assert!(sim.pool.acquire(&request).await.is_err());
    sim.put_secret("b");
    sim.pool.upsert(key("b", "q")).unwrap();
    assert_eq!(sim.pool.acquire(&request).await.unwrap().key_id().as_str(), "b");
}

#[tokio::test]
async fn priorities_spill_at_once_and_return() {
    let limits = Limits::new(Some(2), None, None);
    let sim = Sim::of([key("first", "p").with_limits(limits), key("second", "q").with_priority(5)]);
    let mut used = Vec::new();
    for _ in 0..4 {
        let call = sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap().begin().unwrap();
        used.push(call.key_id().as_str().to_owned());
        call.succeeded(Usage::default()).await;
    }
    assert_eq!(used, ["first", "first", "second", "second"]);
    sim.clock.advance(Duration::from_secs(61));
    assert_eq!(sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap().key_id().as_str(), "first");
}

/// Keys of one project share one quota: more of them are no reason to send more calls there.
#[tokio::test]
async fn a_project_gets_the_share_of_its_heaviest_key_however_many_it_has() {
    let keys = ["a1", "a2", "a3"].map(|id| key(id, "a")).into_iter().chain([key("b", "b")]);
    for (keys, share) in [
        (keys.clone().collect::<Vec<_>>(), 0.5),
        (keys.map(|key| if key.key_id.as_str() == "b" { key.with_weight(3) } else { key }).collect(), 0.75),
    ] {
        let sim = Sim::of(keys);
        let mut of_b = 0;
        for _ in 0..2000 {
            let lease = sim.pool.acquire(&KeyRequest::model(MODEL)).await.unwrap();
            of_b += usize::from(lease.project().as_str() == "b");
        }
        let drawn = of_b as f64 / 2000.0;
        assert!((share - 0.05..share + 0.05).contains(&drawn), "{drawn} instead of {share}");
    }
}

#[tokio::test]
async fn a_key_without_a_secret_does_not_end_a_call_that_another_can_finish() {
    let sim = Sim::of([key("good", "p")]);
    sim.pool.upsert(key("bare", "q")).unwrap();
    let tries = std::cell::Cell::new(0);
    let request = KeyRequest::model(MODEL);
    let work = sim.pool.run(&request, async |_| {
        tries.set(tries.get() + 1);
        if tries.get() == 1 {
            return Err(outcome(Blame::Service, Effect::Transient));
        }
        Ok(((), Usage::default()))
    });
    let done = sim.drive(work).await.unwrap();
    assert_eq!(done.attempts.len(), 2);
    assert!(done.attempts.iter().all(|attempt| attempt.key_id.as_str() == "good"));
}
