//! How often Redis is asked when many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, Limits, ManualClock, MemoryStore, Usage};
use keyrot_test_servers::{self as servers, RedisServer};
use tokio::task::JoinSet;

use crate::rates::options;

const WAITERS: usize = 512;
const PROJECTS: usize = 16;
const RPM: u32 = 60;
const MINUTES: u64 = 5;
const MODEL: &str = "gemini-2.5-flash";

pub(crate) async fn print() {
    let server = RedisServer::start(servers::RedisOptions::default()).await;
    let clock = ManualClock::default();
    let limiter = options(&server).count_by(Arc::new(clock.clone())).limiter().unwrap();
    let (mut keys, secrets) = (KeySet::default(), MemoryStore::default());
    for number in 0..PROJECTS {
        let id = KeyId::parse(&format!("flash_{number:02}")).unwrap();
        secrets.put(&id, SecretString::from("AIzaSy-of-the-bench"));
        let key = KeyMetadata::new(id, MODEL).with_limits(Limits::new(Some(RPM), None, None));
        keys.upsert(key).unwrap();
    }
    let pool = KeyPool::builder(keys)
        .secrets(secrets)
        .clock(clock.clone())
        .limiter(Arc::new(limiter))
        .seed(1)
        .build();
    let granted = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..WAITERS {
        let (pool, granted) = (pool.clone(), Arc::clone(&granted));
        callers.spawn(async move {
            let request = KeyRequest::model(MODEL).within(Duration::from_secs(3_600));
            loop {
                let lease = pool.call(&request).next().await.unwrap();
                granted.fetch_add(1, Ordering::Relaxed);
                lease.succeeded(Usage::input(90)).await;
            }
        });
    }
    quiet(&granted, &server).await;
    server.cli(["config", "resetstat"]).await;
    let before = granted.load(Ordering::Relaxed);
    for _ in 0..MINUTES * 10 {
        clock.advance(Duration::from_secs(6));
        quiet(&granted, &server).await;
    }
    callers.shutdown().await;
    let grants = granted.load(Ordering::Relaxed) - before;
    println!(
        "| calls to Redis per grant, {WAITERS} waiting for {PROJECTS} projects of {RPM} a minute | at most 0.2 | {:.3} \
         ({grants} grants; acquires and reports) |",
        calls(&server).await as f64 / grants as f64
    );
}

async fn calls(server: &RedisServer) -> u64 {
    let stats = server.cli(["info", "commandstats"]).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next()).map_or(0, |count| count.parse().unwrap())
}

/// Waits until nothing happens any more: everybody has what there is, and waits for time to pass.
async fn quiet(granted: &AtomicUsize, server: &RedisServer) {
    let mut before = (usize::MAX, u64::MAX);
    loop {
        let after = (granted.load(Ordering::Relaxed), calls(server).await);
        if after == before {
            return;
        }
        before = after;
    }
}
