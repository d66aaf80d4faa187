//! Measures what docs/performance.md prints of whole runs: attempts and latency on the four keys beside a direct
//! client, and how much of the quota a saturated pool uses.
//!
//! `cargo run --release -p keyrot-e2e --bin scenario`
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a report for people; it fails aloud"
)]

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use gemini_sim::Operation;
use keyrot_core::KeyRequest;
use keyrot_e2e::four_keys::{REQUESTS, entries, troubled};
use keyrot_e2e::over_http::{Service, thousand_times, timed};
use keyrot_e2e::utilisation::{Case, Start, TABLE_HEAD, run, windows};
use keyrot_e2e::world::{MODEL, project};

/// The ratio of latencies is the median of so many runs.
const ROUNDS: u64 = 5;
/// A key that only the direct client uses.
const DIRECT: &str = "direct";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "four keys over HTTP, {REQUESTS} requests, 16 at once, upstream 50 ms, beside a direct client:\n"
    );
    println!("| calls    | round | attempts/request | p50 pool | p50 direct | ratio |");
    println!("|----------|-------|------------------|----------|------------|-------|");
    for operation in [Operation::Generate, Operation::Stream] {
        let name = if operation == Operation::Stream { "stream" } else { "generate" };
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let (attempts, pooled, direct) = runtime.block_on(four_keys(operation, round));
            let ratio = pooled.as_secs_f64() / direct.as_secs_f64();
            let (pooled, direct) = (pooled.as_secs_f64() * 1000.0, direct.as_secs_f64() * 1000.0);
            println!(
                "| {name:<8} | {round:>5} | {attempts:>16.3} | {pooled:>5.1} ms | {direct:>7.1} ms | {ratio:>5.3} |"
            );
            ratios.push(ratio);
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {name:<8} | median of the ratios                       {:>17.3} |",
            ratios[ratios.len() / 2]
        );
    }
    println!("\nquota used by a saturated pool in 10 virtual minutes, 5 projects:\n\n{TABLE_HEAD}");
    for limit in [10, 60] {
        for window in windows() {
            for start in [Start::AtOnce, Start::Spread] {
                println!("{}", run(Case { window, limit, start, seed: 7 }));
            }
        }
    }
}

/// One run: attempts for each request of the pool, and the median times of pool and direct client, which take turns.
async fn four_keys(operation: Operation, seed: u64) -> (f64, Duration, Duration) {
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
