//! How often a pool asks Redis.

use std::sync::Arc;

use keyrot::ratelimit_redis::{RedisAddress, RedisOptions};
use keyrot::secrecy::SecretString;
use keyrot::{AcquireError, KeyMetadata, KeyPool, KeyRequest, Limits, SystemClock, Usage};
use keyrot_e2e::world::{MODEL, entry, key_set, secrets};
use keyrot_test_servers::{self as servers, RedisServer};

const GROUPS: usize = 16;

fn keys() -> impl Iterator<Item = KeyMetadata> {
    let limits = Limits::new(Some(1), None, Some(1));
    (0..GROUPS).map(move |number| entry(&format!("key_{number:02}"), &project(number)).with_limits(limits))
}

fn project(number: usize) -> String {
    format!("p{number:02}")
}

/// The pool of one process.
async fn pool(server: &RedisServer, seed: u64) -> KeyPool {
    let url = SecretString::from(server.url());
    let address = RedisAddress::parse("REDIS_URL", &url).unwrap_or_else(|error| panic!("{error}"));
    let options = RedisOptions::new(address).clock(Arc::new(SystemClock));
    let limiter = options.limiter().unwrap_or_else(|error| panic!("{error}"));
    let keys = key_set(keys());
    let pool = KeyPool::builder(keys.clone()).secrets(secrets(&keys)).limiter(Arc::new(limiter)).seed(seed);
    let pool = pool.build();
    assert!(pool.load_secrets().await.is_empty());
    pool
}

/// Round trips that took or gave quota so far, by the server's own count.
async fn round_trips(server: &RedisServer) -> u64 {
    let stats = server.cli(["info", "commandstats"]).await;
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|rest| rest.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    calls("evalsha") + calls("eval")
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn one_round_trip_looks_through_16_groups() {
    let server = RedisServer::start(servers::RedisOptions::default()).await;
    let (others, pool) = (pool(&server, 1).await, pool(&server, 2).await);
    for number in 0..GROUPS - 1 {
        let lease =
            others.acquire(&KeyRequest::model(MODEL).pinned_to(project(number).as_str().into())).await;
        let call = lease.and_then(|lease| lease.begin().map_err(|_| AcquireError::Closed));
        call.unwrap_or_else(|error| panic!("{error}")).succeeded(Usage::input(10)).await;
    }

    let before = round_trips(&server).await;
    let lease = pool.acquire(&KeyRequest::model(MODEL)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lease.project().as_str(), project(GROUPS - 1), "the only one with room");
    assert_eq!(round_trips(&server).await - before, 1);

    let call = lease.begin().unwrap_or_else(|error| panic!("{error}"));
    call.succeeded(Usage::input(10)).await;
    let before = round_trips(&server).await;
    let Err(AcquireError::Exhausted(told)) = pool.acquire(&KeyRequest::model(MODEL)).await else {
        panic!("nothing is left")
    };
    assert_eq!(told.counts.values().sum::<usize>(), GROUPS);
    assert!(round_trips(&server).await - before <= 1, "the refusals on the way are known");
}
