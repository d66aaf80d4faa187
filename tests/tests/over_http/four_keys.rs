//! A thousand requests over four keys of which one is well.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gemini_sim::{Attempt, Operation};
use keyrot_core::{Clock, KeyRequest, SystemClock};
use keyrot_e2e::four_keys::{C_RESTS_MS, REQUESTS, entries, exhausted, troubled};
use keyrot_e2e::over_http::{Service, thousand_times};
use keyrot_e2e::record::of_key;
use keyrot_e2e::world::MODEL;

async fn few_attempts(operation: Operation) {
    let service = Arc::new(Service::start(troubled(50), entries(), 7).await);
    let caller = Arc::clone(&service);
    thousand_times(move || {
        let service = Arc::clone(&caller);
        async move {
            let done = service.call(&KeyRequest::model(MODEL), operation).await;
            done.unwrap_or_else(|error| panic!("a caller saw an error: {error:?}"));
            Vec::new()
        }
    })
    .await;
    let attempts = service.server.attempts();
    let answered = attempts.iter().filter(|attempt| attempt.status == Some(200)).count();
    let first = attempts.first().map_or(0, |attempt| attempt.time_ms);
    let rests = |attempt: &&&Attempt| attempt.time_ms < first + C_RESTS_MS;
    let [b, c, d] = ["B", "C", "D"].map(|id| of_key(&attempts, id).iter().filter(rests).count());
    println!("{} attempts for {REQUESTS} requests; B {b}, C {c}, D {d}", attempts.len());
    assert_eq!(answered, REQUESTS);
    assert!(attempts.len() * 100 <= REQUESTS * 102, "{} attempts", attempts.len());
    assert!(attempts.iter().all(|attempt| !attempt.key_in_url && attempt.operation == operation));
    // Two in flight before the first refusal is known; none after it while the rests last.
    assert!(b <= 2, "B was tried {b} times");
    assert!(c <= 2, "C was tried {c} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_take_at_most_1020_attempts() {
    few_attempts(Operation::Generate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_take_at_most_1020_attempts() {
    few_attempts(Operation::Stream).await;
}

/// Callers who do not wait for the 20 s after which the first key is free.
async fn hundred_refusals(service: &Arc<Service>) -> Vec<u64> {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let service = Arc::clone(service);
        callers.spawn(async move {
            let request = KeyRequest::model(MODEL).within(Duration::from_secs(15));
            let error = service.call(&request, Operation::Generate).await.expect_err("no key can serve it");
            let wait = error.retry_after().unwrap_or_else(|| panic!("no time to come again: {error:?}"));
            now_ms() + u64::try_from(wait.as_millis()).unwrap()
        });
    }
    callers.join_all().await
}

fn now_ms() -> u64 {
    u64::try_from(SystemClock.wall().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_keys_cost_eight_attempts_and_everybody_hears_the_earliest_time() {
    let service = Arc::new(Service::start(exhausted(), entries(), 7).await);
    let first = hundred_refusals(&service).await;
    let known = now_ms();
    let attempts = service.server.attempts();
    assert!(attempts.len() <= 8, "{} attempts", attempts.len());
    let second = hundred_refusals(&service).await;
    assert_eq!(service.server.attempts().len(), attempts.len(), "a call was sent in vain");
    let refused = of_key(&attempts, "A").first().expect("A was tried").time_ms;
    for told in first.into_iter().chain(second) {
        assert!((refused + 20_000..=known + 20_000).contains(&told), "{told}: A was refused at {refused}");
    }
}
