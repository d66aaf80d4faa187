//! Measures what docs/performance.md prints of whole runs: attempts and latency on the four keys beside a direct
//! client, and how much of the quota a saturated pool uses.
//!
//! `cargo xtask bench`, or `cargo bench -p keyrot-e2e -- four_keys` for one part.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a report for people; it fails aloud"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gemini_sim::Operation;
use keyrot_core::KeyRequest;
use keyrot_e2e::four_keys::{REQUESTS, entries, troubled};
use keyrot_e2e::over_http::{Service, thousand_times, timed};
use keyrot_e2e::utilisation::{Case, MINUTES, PROJECTS, Start, TABLE_HEAD, run, windows};
use keyrot_e2e::world::{MODEL, project};

/// The ratio of latencies is the median of so many runs.
const ROUNDS: u64 = 5;
/// A key that only the direct client uses.
const DIRECT: &str = "direct";

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.contains(&filter);
    if wanted("four_keys") {
        four_keys();
    }
    if wanted("utilisation") {
        utilisation();
    }
}

fn four_keys() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "four keys over HTTP, {REQUESTS} requests, 16 at once, upstream 50 ms, beside a direct client:\n"
    );
    println!("| calls    | round  | attempts/request | p50 pool | p50 direct | ratio |");
    println!("|----------|--------|------------------|----------|------------|-------|");
    for (name, operation) in [("generate", Operation::Generate), ("stream", Operation::Stream)] {
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let (attempts, pooled, direct) = runtime.block_on(one_round(operation, round));
            let ratio = pooled.as_secs_f64() / direct.as_secs_f64();
            let [pooled, direct] = [pooled, direct].map(|time| time.as_secs_f64() * 1000.0);
            println!(
                "| {name:<8} | {round:<6} | {attempts:>16.3} | {pooled:>5.1} ms | {direct:>7.1} ms | {ratio:>5.3} |"
            );
            ratios.push(ratio);
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {name:<8} | median |                  |          |            | {:>5.3} |",
            ratios[ratios.len() / 2]
        );
    }
    println!();
}

fn utilisation() {
    println!(
        "quota used by a saturated pool in {MINUTES} virtual minutes, {PROJECTS} projects:\n\n{TABLE_HEAD}"
    );
    for limit in [10, 60] {
        for window in windows() {
            for start in [Start::AtOnce, Start::Spread] {
                println!("{}", run(Case { window, limit, start, seed: 7 }));
            }
        }
    }
    println!();
}

/// One run: attempts for each request of the pool, and the median times of pool and direct client, which take turns.
async fn one_round(operation: Operation, seed: u64) -> (f64, Duration, Duration) {
    let config = troubled(50).project(project(DIRECT, &[DIRECT]));
    let service = Arc::new(Service::start(config, entries(), seed).await);
    let direct_times = Arc::new(Mutex::new(Vec::new()));
    let (caller, times) = (Arc::clone(&service), Arc::clone(&direct_times));
    let pooled = thousand_times(move || {
        let (service, times) = (Arc::clone(&caller), Arc::clone(&times));
        async move {
            let request = KeyRequest::model(MODEL);
            let (done, pooled) = timed(service.call(&request, operation)).await;
            done.unwrap_or_else(|error| panic!("a caller saw an error: {error:?}"));
            let ((), direct) = timed(service.call_directly(DIRECT, operation)).await;
            times.lock().expect("no caller has failed").push(direct);
            vec![pooled]
        }
    })
    .await;
    let attempts = service.server.attempts();
    let of_pool = attempts.iter().filter(|attempt| attempt.key_id.as_deref() != Some(DIRECT)).count();
    let direct = std::mem::take(&mut *direct_times.lock().expect("no caller has failed"));
    (of_pool as f64 / REQUESTS as f64, median(pooled), median(direct))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
