//! Many processes on one server, killed at random: no limit is ever exceeded, no grant and no report is lost.
//! `cargo xtask bench race` runs the same at full size.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{Clock, RateLimiter};
use keyrot_ratelimit_redis::{RedisAddress, RedisOptions};
use keyrot_test_servers::{self as servers, RedisServer};
use keyrot_testkit::race::{Race, call_if_started_by_a_race};

fn open(url: &str, clock: Arc<dyn Clock>) -> Arc<dyn RateLimiter> {
    let address = RedisAddress::parse("REDIS_URL", &SecretString::from(url)).unwrap();
    let options = RedisOptions::new(address).timeout(Duration::from_secs(30));
    Arc::new(options.count_by(clock).limiter().unwrap())
}

#[test]
#[ignore = "needs redis-server: cargo xtask test"]
fn killed_processes_lose_nothing_on_redis() {
    race("killed_processes_lose_nothing_on_redis", servers::RedisOptions::default());
}

#[test]
#[ignore = "needs valkey-server: cargo xtask test"]
fn killed_processes_lose_nothing_on_valkey() {
    race("killed_processes_lose_nothing_on_valkey", servers::RedisOptions::default().valkey());
}

fn race(test: &str, options: servers::RedisOptions) {
    call_if_started_by_a_race(open);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(RedisServer::start(options));
    let arguments = ["--exact", test, "--nocapture", "--include-ignored"];
    let place = server.url();
    Race { place: &place, open, arguments: &arguments, speed: 150, processes: 8, calls: 20_000, kills: 50 }
        .run();
    let forever = "local n = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
                   if redis.call('PTTL', key) < 0 then n[#n + 1] = key end end return n";
    let left = runtime.block_on(server.cli(["EVAL", forever, "0"]));
    assert_eq!(left.trim(), "", "every key ends by itself");
    let sizes = runtime.block_on(server.cli(["DBSIZE"]));
    assert_ne!(sizes.trim(), "0", "the records are there");
}
