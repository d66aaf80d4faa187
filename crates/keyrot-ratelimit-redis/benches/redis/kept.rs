//! What Redis keeps, and how long.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use keyrot_core::{Ask, Limits, ManualClock, RateLimiter};
use keyrot_test_servers::{self as servers, RedisServer};
use tokio::task::JoinSet;

use crate::rates::{candidate, options, prove};

const RECORDS: usize = 2_000;
/// So many cells does a record have at most: one second each is the finest that it keeps.
const SECONDS: u64 = 70;
/// 2026-01-05T12:00:00Z, and how long the day of Los Angeles still takes then.
const START: Duration = Duration::from_millis(1_767_614_400_000);
const DAY_ENDS_AFTER: Duration = Duration::from_secs(20 * 3600);

pub(crate) async fn print() {
    let server = RedisServer::start(servers::RedisOptions::default()).await;
    let clock = ManualClock::default();
    clock.set_wall(UNIX_EPOCH + START);
    let limiter = options(&server).count_by(Arc::new(clock.clone())).limiter().unwrap();
    let limits = Limits::new(Some(1_000_000), Some(1 << 40), Some(1_000_000));
    let groups: Vec<_> = (0..RECORDS).map(|number| candidate(number, limits)).collect();
    // scripts and what the pool has only once are there before
    prove(&limiter, &groups[0], 0).await;
    let empty = memory(&server).await;
    for (number, of) in (1..).zip(&groups[1..]) {
        prove(&limiter, of, number).await;
    }
    for _ in 0..SECONDS {
        clock.advance(Duration::from_secs(1));
        let mut asks = JoinSet::new();
        for of in groups.iter().cloned() {
            let limiter = limiter.clone();
            asks.spawn(async move {
                let ask = Ask { tokens: 1_000, probe_ttl: Duration::from_secs(60) };
                let reply = limiter.reserve(&[of], &[ask], u64::MAX >> 20).await.unwrap();
                assert_eq!(reply.grants.len(), 1);
            });
        }
        asks.join_all().await;
    }
    let bytes = (memory(&server).await - empty) as f64 / (RECORDS - 1) as f64;
    println!("| memory for a record that is full | at most 1.1 KB | {:.2} KB |", bytes / 1024.0);
    // by the clock that it counts by; TTLs are the server's own
    let day = DAY_ENDS_AFTER.as_millis() as i64 - SECONDS as i64 * 1_000;
    let mut left = 0;
    for key in server.cli(["keys", "*:quota:*"]).await.lines() {
        let ttl: i64 = server.cli(["pttl", key]).await.parse().unwrap();
        left += usize::from(ttl < 0 || ttl > day + 1_000);
    }
    println!("| records of {RECORDS} that are left after the day's end | 0 | {left} |");
}

async fn memory(server: &RedisServer) -> i64 {
    let told = server.cli(["info", "memory"]).await;
    let used = told.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    used.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or_else(|| panic!("no memory in: {told}"))
}
