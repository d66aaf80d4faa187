//! How often a call tries, how long it pauses, and that one deadline holds over all of it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "common/sim.rs"]
mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Sim, key, outcome};
use keyrot_core::{Blame, Clock, Effect, KeyRequest, Outcome, RunEnd, RunError, Usage};

const MODEL: &str = "gemini-2.5-flash";

/// A call of which every try fails so, each after this time.
async fn fails(sim: &Sim, request: &KeyRequest, outcome: Outcome, each: Duration) -> RunError<Outcome> {
    let work = sim.pool.run(request, async |_| {
        sim.clock.sleep_until(sim.clock.now() + each).await;
        Err::<((), Usage), _>(outcome.clone())
    });
    sim.drive(work).await.unwrap_err()
}

fn keys(count: usize) -> Sim {
    Sim::of((0..count).map(|number| key(&format!("k{number}"), &format!("p{number}"))))
}

#[tokio::test]
async fn a_call_goes_to_eight_other_keys_and_no_further() {
    let sim = keys(20);
    let refused = outcome(Blame::ProjectModel, Effect::Cooldown);
    let error = fails(&sim, &KeyRequest::model(MODEL), refused, Duration::ZERO).await;
    let tried: BTreeSet<&str> = error.attempts.iter().map(|attempt| attempt.key_id.as_str()).collect();
    assert_eq!((error.attempts.len(), tried.len()), (9, 9), "each once: {error:?}");
    assert!(matches!(error.end, RunEnd::Failed(_)));
}

#[tokio::test]
async fn who_failed_before_is_tried_again_twice_after_pauses_that_double() {
    let sim = keys(1);
    let begun = sim.clock.now();
    let transient = outcome(Blame::Service, Effect::Transient);
    let error = fails(&sim, &KeyRequest::model(MODEL), transient, Duration::ZERO).await;
    assert_eq!(error.attempts.len(), 3, "{error:?}");
    let paused = (sim.clock.now() - begun).as_secs_f64();
    assert!((1.5..=3.0).contains(&paused), "0.5 to 1 s, then 1 to 2 s: {paused}");
}

#[tokio::test]
async fn one_deadline_holds_over_waiting_tries_and_pauses() {
    let sim = keys(20);
    let begun = sim.clock.now();
    let request = KeyRequest::model(MODEL).within(Duration::from_secs(10));
    let refused = outcome(Blame::ProjectModel, Effect::Cooldown);
    let error = fails(&sim, &request, refused, Duration::from_secs(3)).await;
    assert_eq!(error.attempts.len(), 4, "begun after 0, 3, 6 and 9 s: {error:?}");
    assert_eq!(
        sim.clock.now() - begun,
        Duration::from_secs(12),
        "a try that is under way is its sender's to end"
    );

    let sim = keys(1);
    let begun = sim.clock.now();
    let request = KeyRequest::model(MODEL).within(Duration::from_millis(200));
    fails(&sim, &request, outcome(Blame::Service, Effect::Transient), Duration::from_millis(50)).await;
    assert!(sim.clock.now() - begun <= Duration::from_millis(250), "a pause ends at the deadline");
}
