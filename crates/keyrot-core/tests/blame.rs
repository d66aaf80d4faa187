//! Who is held to blame and who is spared: correlated failures, the last key that works, what was under way already.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "common/sim.rs"]
mod common;

use std::time::Duration;

use common::{Sim, key, outcome};
use keyrot_core::{
    AcquireError, ActiveLease, Blame, Effect, KeyRequest, Limits, Outcome, Reason, RunEnd, Scope, Usage,
};

const MODEL: &str = "gemini-2.5-flash";
const BACKUP: &str = "backup";

impl Sim {
    /// Sends a call with the key of this project.
    async fn send(&self, project: &str) -> ActiveLease {
        let request = KeyRequest::model(MODEL).pinned_to(project.into());
        self.pool.acquire(&request).await.unwrap().begin().unwrap()
    }

    async fn works(&self, project: &str) {
        self.send(project).await.succeeded(Usage::default()).await;
    }

    fn pass(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds));
    }

    /// Why nobody can serve now.
    async fn refusal(&self, request: &KeyRequest) -> keyrot_core::Exhausted {
        match self.pool.acquire(request).await {
            Err(AcquireError::Exhausted(exhausted)) => exhausted,
            other => panic!("{other:?}"),
        }
    }
}

fn any() -> KeyRequest {
    KeyRequest::model(MODEL)
}

fn transient() -> Outcome {
    outcome(Blame::Service, Effect::Transient)
}

#[tokio::test]
async fn trouble_on_the_way_is_held_against_a_key_only_if_another_works_meanwhile() {
    let sim = Sim::of([key("a", "a"), key("b", "b")]);
    sim.works("b").await;
    sim.pass(1.0);
    sim.send("a").await.report(transient()).await;
    assert!(!sim.pool.health()["a"].in_cooldown, "b worked before the call, not since");

    let failing = sim.send("a").await;
    sim.pass(1.0);
    sim.works("b").await;
    failing.report(transient()).await;
    let health = sim.pool.health();
    assert!(health["a"].in_cooldown && !health["b"].in_cooldown);
    assert!(health["a"].cooldown_remaining.unwrap() >= Duration::from_secs(30));
}

#[tokio::test]
async fn trouble_on_the_way_never_rests_the_last_usable_key() {
    let sim = Sim::of([key("a", "a"), key("b", "b")]);
    let failing = sim.send("a").await;
    sim.pass(1.0);
    sim.works("b").await;
    sim.send("b").await.report(outcome(Blame::Key, Effect::KeyRejected)).await;
    failing.report(transient()).await;
    let health = sim.pool.health();
    assert!(health["b"].in_cooldown && !health["a"].in_cooldown, "a is the last one");
}

#[tokio::test]
async fn calls_under_way_when_a_scope_was_blocked_add_no_strike() {
    let sim = Sim::of([key("a", "a")]);
    sim.works("a").await; // proven: more than two may be under way
    sim.pass(1.0);
    let mut under_way = Vec::new();
    for _ in 0..10 {
        under_way.push(sim.send("a").await);
    }
    sim.pass(0.1);
    for call in under_way {
        call.report(outcome(Blame::Key, Effect::Cooldown)).await;
    }
    let health = &sim.pool.health()["a"];
    assert_eq!(health.strikes, 1);
    assert!(health.cooldown_remaining.unwrap() <= Duration::from_secs(33), "{health:?}");
}

#[tokio::test]
async fn after_a_named_end_all_may_go_and_after_any_other_two_at_a_time() {
    for (delay, most) in [(Some(Duration::from_secs(9)), 5), (None, 2)] {
        let sim = Sim::of([key("a", "a")]);
        sim.works("a").await;
        sim.pass(1.0);
        let refused = outcome(Blame::ProjectModel, Effect::Cooldown).retry_after(delay);
        sim.send("a").await.report(refused).await;
        sim.clock.advance(sim.refusal(&any()).await.retry_after.unwrap());
        let mut under_way = Vec::new();
        while under_way.len() < 5
            && let Ok(lease) = sim.pool.acquire(&any()).await
        {
            under_way.push(lease.begin().unwrap());
        }
        assert_eq!(under_way.len(), most, "a delay of {delay:?}");
    }
}

/// A stream: its group is open to all from its first piece on, its key has succeeded only when it is complete.
#[tokio::test]
async fn first_content_proves_its_group_and_is_no_success_yet() {
    let sim = Sim::of([key("a", "a")]);
    let (mut first, second) = (sim.send("a").await, sim.send("a").await);
    assert_eq!(sim.refusal(&any()).await.counts.keys().collect::<Vec<_>>(), [&Reason::Probing]);
    first.first_content(Usage::input(7)).await;
    let third = sim.send("a").await;
    let used = &sim.pool.usage().await.unwrap()[0].2;
    assert_eq!(
        used.minute_tokens,
        7 + 2 * 1100,
        "the first is settled, two are estimates of 1000 and a tenth"
    );
    assert_eq!(sim.pool.health()["a"].success_count, 0);
    for call in [first, second, third] {
        call.succeeded(Usage::input(7)).await;
    }
    assert_eq!(sim.pool.health()["a"].success_count, 3);
    assert_eq!(sim.pool.usage().await.unwrap()[0].2.minute_tokens, 3 * 7);
}

#[tokio::test]
async fn absurd_delays_of_the_provider_are_capped_at_a_day() {
    let sim = Sim::of([key("a", "a")]);
    let refused =
        outcome(Blame::ProjectModel, Effect::Cooldown).retry_after(Some(Duration::from_secs(u64::MAX)));
    sim.send("a").await.report(refused).await;
    assert_eq!(sim.pool.health()["a"].cooldown_remaining, Some(Duration::from_secs(24 * 3600)));
}

/// A blocked address, a wrong clock or a proxy: it looks like many bad keys.
#[tokio::test]
async fn three_keys_refused_alike_suspect_the_host_and_no_key_is_quarantined() {
    let sim = Sim::of(["a", "b", "c", "d", "e"].map(|id| key(id, id)));
    let denied = Outcome::new(Blame::Key, Effect::KeyRejected, "403: denied");
    let refused = async || {
        let request = any();
        sim.pool.run(&request, async |_| Err::<((), Usage), _>(denied.clone())).await.unwrap_err()
    };
    let error = refused().await;
    assert!(matches!(error.end, RunEnd::Failed(_)));
    assert_eq!(error.attempts.len(), 3, "every cause, and no fourth key: {error:?}");
    assert!(error.attempts.iter().all(|attempt| attempt.outcome.detail == "403: denied"));
    for rest in [30, 60, 120] {
        assert!(sim.pool.health().values().all(|key| !key.in_cooldown), "before a rest of {rest} s");
        let told = sim.refusal(&any()).await;
        assert_eq!(told.counts.keys().collect::<Vec<_>>(), [&Reason::HostSuspected]);
        assert_eq!((told.limiting, told.retry_after), (Some(Scope::Host), Some(Duration::from_secs(rest))));
        sim.clock.advance(Duration::from_secs(rest));
        let probe = sim.pool.acquire(&any()).await.unwrap().begin().unwrap();
        assert_eq!(sim.refusal(&any()).await.limiting, Some(Scope::Host), "one probe at a time");
        drop(probe);
        assert_eq!(refused().await.attempts.len(), 1, "the probe after {rest} s");
    }
    sim.pass(240.0);
    sim.pool.acquire(&any()).await.unwrap().begin().unwrap().succeeded(Usage::default()).await;
    for id in ["a", "b", "c", "d", "e"] {
        sim.works(id).await;
    }
}

/// Three overloads without a success between: the model is left alone, its fallback serves.
#[tokio::test]
async fn an_overloaded_model_is_probed_after_1_2_4_and_up_to_30_s_while_its_fallback_serves() {
    let sim = Sim::of(["a", "b", "c"].map(|id| {
        let mut key = key(id, id);
        key.models.insert(BACKUP.into(), Limits::default());
        key
    }));
    let overloaded = outcome(Blame::Model, Effect::Overload);
    for project in ["a", "b", "c"] {
        assert_eq!(sim.pool.acquire(&any()).await.unwrap().model().as_str(), MODEL, "before {project}");
        sim.send(project).await.report(overloaded.clone()).await;
    }
    for rest in [1, 2, 4, 8, 16, 30, 30] {
        let told = sim.refusal(&any()).await;
        assert_eq!(told.counts.keys().collect::<Vec<_>>(), [&Reason::ModelOverloaded]);
        assert_eq!(
            (told.limiting, told.retry_after),
            (Some(Scope::Model(MODEL.into())), Some(Duration::from_secs(rest)))
        );
        let served = sim.pool.acquire(&any().fallback(BACKUP)).await.unwrap();
        assert_eq!(served.model().as_str(), BACKUP);
        drop(served);
        sim.clock.advance(Duration::from_secs(rest));
        let probe = sim.pool.acquire(&any()).await.unwrap().begin().unwrap();
        sim.refusal(&any()).await; // one at a time
        probe.report(overloaded.clone()).await;
    }
    assert!(sim.pool.health().values().all(|key| !key.in_cooldown), "no key and no project is held to blame");
    sim.pass(30.0);
    sim.pool.acquire(&any()).await.unwrap().begin().unwrap().succeeded(Usage::default()).await;
    for project in ["a", "b", "c"] {
        sim.works(project).await;
    }
}

/// Cached content and files live in one project.
#[tokio::test]
async fn a_pinned_call_tries_no_other_project() {
    let sim = Sim::of([key("a1", "a"), key("a2", "a"), key("b", "b")]);
    let request = any().pinned_to("a".into());
    let work = sim.pool.run(&request, async |_| Err::<((), Usage), _>(transient()));
    let error = sim.drive(work).await.unwrap_err();
    assert!(error.attempts.len() > 2, "{error:?}");
    assert!(error.attempts.iter().all(|attempt| attempt.project.as_str() == "a"), "{error:?}");
}

#[tokio::test]
async fn a_lease_is_not_sent_once_its_scope_is_blocked_or_half_a_second_has_passed() {
    let sim = Sim::of([key("a", "a").with_limits(Limits::new(Some(10), None, None))]);
    sim.works("a").await;
    sim.pass(1.0);
    let refused = outcome(Blame::Project, Effect::Cooldown).retry_after(Some(Duration::from_secs(5)));
    let (sent, held) = (sim.send("a").await, sim.pool.acquire(&any()).await.unwrap());
    sent.report(refused).await;
    held.begin().expect_err("its project was blocked meanwhile");
    sim.pass(5.0);
    let held = sim.pool.acquire(&any()).await.unwrap();
    sim.pass(0.501);
    held.begin().expect_err("it no longer covers the provider's window");
    let usage = sim.pool.usage().await.unwrap();
    sim.works("a").await; // takes along what was given back
    let after = sim.pool.usage().await.unwrap();
    assert_eq!((usage[0].2.minute_requests, after[0].2.minute_requests), (3, 3), "two sent, then a third");
}
