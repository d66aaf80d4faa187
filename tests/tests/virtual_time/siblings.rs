//! Keys of one project share its quota: when one of them is refused, none of its siblings is tried.

use std::time::Duration;

use gemini_sim::{Config, Fault, FaultKind, Limits};
use keyrot_core::{KeyMetadata, KeyRequest, ManualClock};
use keyrot_e2e::record::{of_project, replied_ms, too_many_requests};
use keyrot_e2e::world::{MODEL, World, entry, project};
use keyrot_testkit::run_virtual;

const DELAY_S: u64 = 20;

/// Three keys in each of two projects.
fn six_keys() -> (Config, Vec<KeyMetadata>) {
    let config = Config::default()
        .project(project("first", &["a1", "a2", "a3"]))
        .project(project("second", &["b1", "b2", "b3"]));
    let entries = [("a1", "first"), ("a2", "first"), ("a3", "first"), ("b1", "second"), ("b2", "second")];
    let entries = entries.into_iter().chain([("b3", "second")]);
    (config, entries.map(|(id, project)| entry(id, project)).collect())
}

#[test]
fn after_one_429_no_sibling_is_called_until_the_delay_has_passed() {
    for seed in 0..20 {
        let clock = ManualClock::default();
        let (config, entries) = six_keys();
        let refused =
            Fault::new(FaultKind::Quota { retry_after_s: DELAY_S as f64 }).project("first").times(1);
        let world = World::new(clock.clone(), config.fault(refused), entries, seed);
        run_virtual(clock, async {
            for _ in 0..200 {
                world.generate(&KeyRequest::model(MODEL)).await.expect("the other project serves it");
                world.pass(Duration::from_millis(150)).await;
            }
        });
        let attempts = world.attempts();
        assert_eq!(too_many_requests(&attempts), 1, "seed {seed}");
        let first = of_project(&attempts, "first");
        let at = first.iter().position(|attempt| attempt.status == Some(429)).expect("one 429");
        let free_again = replied_ms(first[at]) + DELAY_S * 1000;
        let next = first[at + 1..].iter().map(|attempt| attempt.time_ms).min().expect("it is used again");
        assert!(next >= free_again, "seed {seed}: a sibling was called {} ms early", free_again - next);
        assert!(next < free_again + 2000, "seed {seed}: the project was left alone for too long");
    }
}

#[test]
fn a_quota_that_is_really_used_up_costs_one_refusal_for_all_siblings() {
    let clock = ManualClock::default();
    let (mut config, entries) = six_keys();
    config.projects[0] = project("first", &["a1", "a2", "a3"]).limit(MODEL, Limits::default().rpm(5));
    let world = World::new(clock.clone(), config, entries, 7); // keys.json knows nothing of the limit
    run_virtual(clock, async {
        for _ in 0..40 {
            world.generate(&KeyRequest::model(MODEL)).await.expect("the other project serves it");
        }
    });
    let attempts = world.attempts();
    assert_eq!(too_many_requests(&attempts), 1);
    assert_eq!(of_project(&attempts, "first").len(), 6);
}
