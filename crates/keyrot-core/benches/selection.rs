//! Selection, refusal and the full cycle beside `governor`'s keyed check and beside the way of the
//! original (filter, collect, shuffle). `cargo xtask bench selection` prints the table that
//! docs/performance.md shows.
#![expect(clippy::expect_used, reason = "a bench ends at the first surprise")]

use std::cell::OnceCell;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{Clock, KeyId, KeyPool, KeyRequest, KeySet, MemoryStore, PoolState, SystemClock, Usage};

const SIZES: [u32; 4] = [10, 1_000, 10_000, 100_000];
const MODEL: &str = "gemini-2.5-flash";

fn id(number: u32) -> KeyId {
    KeyId::parse(&format!("flash_{number:06}")).expect("a valid id")
}

fn keys(count: u32, extra: impl Fn(u32) -> String) -> KeySet {
    let entries: Vec<String> = (0..count)
        .map(|number| format!(r#"{{"key_id": "{}", "model_name": "{MODEL}"{}}}"#, id(number), extra(number)))
        .collect();
    KeySet::parse(&format!(r#"{{"keys": [{}]}}"#, entries.join(","))).expect("valid keys")
}

fn state(keys: &KeySet, unavailable: u32) -> PoolState {
    let mut state = PoolState::new(keys);
    let count = u32::try_from(keys.len()).expect("a count");
    let mut blocked = count * unavailable / 100;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut order: Vec<u32> = (0..count).collect();
    rng.shuffle(&mut order);
    if unavailable < 100 {
        blocked = blocked.min(count - 1);
    }
    for number in order.into_iter().take(blocked as usize) {
        state.rest(&id(number), 3_600_000, 0);
    }
    state
}

/// What the original does: filter all, collect, shuffle, take the first.
fn filter_and_shuffle(resting_until: &[u64], now: u64, rng: &mut fastrand::Rng) -> Option<usize> {
    let mut usable: Vec<usize> =
        resting_until.iter().enumerate().filter(|(_, until)| **until <= now).map(|(key, _)| key).collect();
    rng.shuffle(&mut usable);
    usable.first().copied()
}

fn selection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("selection");
    let request = KeyRequest::model(MODEL);
    for count in SIZES {
        let plain = keys(count, |_| String::new());
        for unavailable in [0, 50, 99] {
            let mut state = state(&plain, unavailable);
            let mut rng = fastrand::Rng::with_seed(1);
            let name = format!("plain/{count}/{unavailable}%");
            group.bench_function(name, |bench| {
                bench.iter(|| black_box(state.select(&request, 1, &mut rng).is_ok()));
            });
        }
        let mut none_left = state(&plain, 100);
        let mut rng = fastrand::Rng::with_seed(1);
        group.bench_function(format!("refusal/{count}"), |bench| {
            bench.iter(|| black_box(none_left.select(&request, 1, &mut rng).is_err()));
        });
        let varied = keys(count, |number| {
            let region = if number % 3 == 0 { "us-east" } else { "eu-west" };
            let (weight, priority) = (1 + number % 7, number % 2);
            format!(r#", "tags": {{"region": "{region}"}}, "weight": {weight}, "priority": {priority}"#)
        });
        let tagged = KeyRequest::model(MODEL).tag("region", "us-east");
        for unavailable in [0, 50, 99] {
            let mut state = self::state(&varied, unavailable);
            group.bench_function(format!("tags+weights+priorities/{count}/{unavailable}%"), |bench| {
                bench.iter(|| black_box(state.select(&tagged, 1, &mut rng).is_ok()));
            });
        }
        let resting = vec![0_u64; count as usize];
        group.bench_function(format!("filter-and-shuffle/{count}"), |bench| {
            bench.iter(|| black_box(filter_and_shuffle(&resting, 1, &mut rng)));
        });
    }
    group.finish();
}

fn governor_keyed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("governor");
    for count in SIZES {
        let limiter: DefaultKeyedRateLimiter<u32> = RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX));
        (0..count).for_each(|key| {
            black_box(limiter.check_key(&key).is_ok());
        });
        let mut rng = fastrand::Rng::with_seed(1);
        group.bench_function(format!("keyed check/{count}"), |bench| {
            bench.iter(|| black_box(limiter.check_key(&rng.u32(..count)).is_ok()));
        });
    }
    group.finish();
}

fn cycle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cycle");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let request = KeyRequest::model(MODEL);
    let once = async |pool: &KeyPool| {
        let lease = pool.acquire(&request).await.expect("a key").begin().expect("in time");
        lease.succeeded(Usage::input(900)).await;
    };
    for count in SIZES {
        // criterion calls a bench's closure many times: the pool is made at the first
        let warm = OnceCell::new();
        group.bench_function(BenchmarkId::from_parameter(format!("acquire-begin-report/{count}")), |bench| {
            let pool = warm.get_or_init(|| {
                let secrets = MemoryStore::default();
                (0..count).for_each(|number| secrets.put(&id(number), SecretString::from("a-secret")));
                let pool = KeyPool::builder(keys(count, |_| String::new())).secrets(secrets).seed(1).build();
                runtime.block_on(async {
                    for _ in 0..count * 12 {
                        once(&pool).await; // secrets are read and groups proven before anything is measured
                    }
                });
                pool
            });
            bench.iter_custom(|times| {
                runtime.block_on(async {
                    let start = SystemClock.now();
                    for _ in 0..times {
                        once(pool).await;
                    }
                    SystemClock.now() - start
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(900)).sample_size(30);
    targets = governor_keyed, selection, cycle
}
criterion_main!(benches);
