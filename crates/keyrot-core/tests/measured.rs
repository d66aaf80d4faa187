//! The metrics of a pool: what its calls have become, how long they waited, who rests, how often secrets were read.
#![cfg(feature = "metrics")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "common/recorder.rs"]
mod recorder;
#[path = "common/sim.rs"]
mod sim;

use std::time::Duration;

use keyrot_core::{Blame, Effect, KeyRequest, Limits, Usage};

use crate::recorder::Kept;
use crate::sim::{Sim, key, outcome};

const MODEL: &str = "gemini-2.5-flash";

#[test]
fn metrics_say_what_calls_have_become_who_rests_and_how_long_it_took() {
    let kept = Kept::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&kept, || {
        runtime.block_on(async {
            let sim = Sim::of([key("a", "a").with_limits(Limits::new(Some(1), None, None)), key("b", "b")]);
            let of = |project: &str| KeyRequest::model(MODEL).pinned_to(project.into());
            let begin = async |project: &str| sim.pool.acquire(&of(project)).await.unwrap().begin().unwrap();
            begin("a").await.succeeded(Usage::default()).await;
            let second = of("a");
            let waits = sim.pool.acquire_within(&second, Duration::from_secs(90));
            drop(sim.drive(waits).await.unwrap());
            assert_eq!(kept.get("keyrot_wait_seconds "), 61.0, "only the second has waited");

            let refused =
                outcome(Blame::ProjectModel, Effect::Cooldown).retry_after(Some(Duration::from_secs(9)));
            begin("b").await.report(refused).await;
            drop(begin("a").await);
            let calls = |labels: &str| kept.get(&format!("keyrot_attempts_total {MODEL} {labels}"));
            assert_eq!(
                (calls("success none"), calls("cooldown project_model"), calls("abandoned none")),
                (1.0, 1.0, 1.0)
            );
            let blocked = |scope: &str| kept.get(&format!("keyrot_blocked {scope}"));
            assert_eq!(
                ["host", "key", "model", "project", "project_model"].map(blocked),
                [0.0, 0.0, 0.0, 0.0, 1.0]
            );
            sim.clock.advance(Duration::from_secs(9));
            sim.pool.refresh_secrets().await;
            assert_eq!(blocked("project_model"), 0.0);

            sim.clock.advance(Duration::from_secs(300));
            sim.pool.refresh_secrets().await;
            sim.pool.upsert(key("bare", "c")).unwrap();
            sim.pool.acquire(&of("c")).await.unwrap_err();
            let read = |result: &str| kept.get(&format!("keyrot_secret_refresh_total {result}"));
            assert_eq!(["new", "same", "failed"].map(read), [2.0, 2.0, 1.0]);

            let mut names: Vec<String> =
                kept.all().into_keys().map(|name| name.split(' ').next().unwrap().to_owned()).collect();
            names.dedup();
            let documented = ["attempts_total", "blocked", "secret_refresh_total", "wait_seconds"];
            assert_eq!(names, documented.map(|name| format!("keyrot_{name}")), "and nothing else");
        });
    });
}
