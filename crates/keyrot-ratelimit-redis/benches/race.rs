//! The race of tests/race.rs at full size, on Redis and on Valkey, and LiteLLM's Router on the same Redis.
//! `cargo xtask bench race` prints the rows that docs/performance.md shows.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a report for people; it ends at the first surprise"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{Clock, RateLimiter};
use keyrot_ratelimit_redis::{RedisAddress, RedisOptions};
use keyrot_test_servers::{self as servers, RedisServer};
use keyrot_testkit::race::{Outcome, Race, call_if_started_by_a_race};

fn open(url: &str, clock: Arc<dyn Clock>) -> Arc<dyn RateLimiter> {
    let address = RedisAddress::parse("REDIS_URL", &SecretString::from(url)).expect("an address");
    let options = RedisOptions::new(address).timeout(Duration::from_secs(30));
    Arc::new(options.count_by(clock).limiter().expect("a limiter"))
}

fn main() {
    call_if_started_by_a_race(open);
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"race".contains(&filter) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = |options| runtime.block_on(RedisServer::start(options));
    let race = |server: &RedisServer, name: &str| {
        let place = server.url();
        let race = Race {
            place: &place,
            open,
            arguments: &[],
            speed: 1000,
            processes: 8,
            calls: 200_000,
            kills: 100,
        };
        println!("{}", race.run().row(name, race.processes));
    };
    println!("{}", Outcome::HEAD);
    let redis = start(servers::RedisOptions::default());
    race(&redis, "Redis");
    race(&start(servers::RedisOptions::default().valkey()), "Valkey");
    litellm(&redis);
}

/// It is large, so whoever wants the comparison installs it.
fn litellm(redis: &RedisServer) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("litellm");
    let python = venv.join("bin/python");
    if !python.exists() {
        let (venv, wanted) = (venv.display(), here.join("race_litellm_requirements.txt"));
        println!(
            "\nThe row of LiteLLM needs: python3 -m venv {venv} && {venv}/bin/pip install -r {}",
            wanted.display()
        );
        return;
    }
    let ended = Command::new(python).arg(here.join("race_litellm.py")).arg(redis.port().to_string()).status();
    assert!(ended.expect("Python").success(), "race_litellm.py has failed");
}
