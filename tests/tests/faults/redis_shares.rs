//! Four processes that lose their Redis together: what they send in any minute is the limit at most.

use std::time::Duration;

use gemini_sim::{Config, Latency, SimServer};
use keyrot::gemini::{GenerateRequest, PooledGemini};
use keyrot::{KeyRequest, Opened, Settings, Vars};
use keyrot_e2e::world::{MODEL, project};
use keyrot_test_servers::{RedisOptions, RedisServer, wait_until};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::load::{PATIENCE, variables, writable};

const LIMIT: usize = 120;
const PROCESSES: usize = 4;
/// Each wants more than its part.
const CALLERS: usize = 4;
const MINUTE_MS: u64 = 60_000;
/// Three windows, and what a busy machine needs.
const LONG: Duration = Duration::from_secs(400);

/// Four pools with a connection and books of their own, as four processes have them.
struct Fleet {
    server: RedisServer,
    provider: SimServer,
    pools: Vec<Opened>,
    callers: JoinSet<()>,
    _folder: TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let server = RedisServer::start(RedisOptions::default()).await;
        let config = Config::default().latency(Latency::Fixed { ms: 5 }).project(project("one", &["one"]));
        let provider = SimServer::start(config).await.unwrap();
        let folder = TempDir::new().unwrap();
        let entries = [json!({"key_id": "one", "model_name": MODEL, "rpm": LIMIT})];
        let vars = variables(&provider, &folder, &entries, &server.url(), "share", &[]);
        let mut pools = Vec::new();
        for _ in 0..PROCESSES {
            let settings = Settings::from_vars(&Vars::from_iter(vars.clone())).unwrap();
            pools.push(settings.open().await.unwrap());
        }
        let fleet = Self { server, provider, pools, callers: JoinSet::new(), _folder: folder };
        fleet.everybody_knows_everybody().await;
        fleet
    }

    /// Waits until each process has said that it lives after all of them had said so once.
    async fn everybody_knows_everybody(&self) {
        let mut all_since = None;
        wait_until("four processes that know each other", PATIENCE, async || {
            let told =
                self.server.cli(["zrange", "keyrot:1:{default}:processes", "0", "-1", "withscores"]).await;
            let seen: Vec<u64> = told.lines().skip(1).step_by(2).map(|at| at.parse().unwrap()).collect();
            if seen.len() == PROCESSES {
                let last = *all_since.get_or_insert(*seen.iter().max().unwrap());
                return seen.iter().all(|at| *at > last);
            }
            false
        })
        .await;
    }

    fn call(&mut self) {
        for opened in &self.pools {
            for _ in 0..CALLERS {
                self.callers.spawn(call(opened.gemini().unwrap()));
            }
        }
    }

    /// When calls arrived at the provider.
    fn times(&self) -> Vec<u64> {
        self.provider.attempts().iter().map(|attempt| attempt.time_ms).collect()
    }

    async fn has_sent(&mut self, what: &str, enough: impl Fn(&[u64]) -> bool) {
        wait_until(what, LONG, async || enough(&self.times())).await;
        assert!(self.callers.try_join_next().is_none(), "a caller saw an error");
    }

    async fn modes_are(&self, degraded: Option<&str>) {
        wait_until("all to know it", PATIENCE, async || {
            self.pools.iter().all(|opened| opened.pool.limiter_mode().degraded == degraded)
        })
        .await;
    }
}

async fn call(gemini: PooledGemini) {
    let (request, body) =
        (KeyRequest::model(MODEL).within(LONG), GenerateRequest::user("Buy low, sell high"));
    loop {
        gemini.generate(&request, &body).await.unwrap();
    }
}

/// The most calls in any minute.
fn fullest_minute(times: &[u64]) -> usize {
    let in_minute = |from: &u64| times.iter().filter(|at| (*from..*from + MINUTE_MS).contains(at)).count();
    times.iter().map(in_minute).max().unwrap_or(0)
}

async fn hold_the_limit(lose: impl FnOnce(&mut RedisServer), bring_back: impl AsyncFnOnce(&mut RedisServer)) {
    let mut fleet = Fleet::start().await;
    fleet.call();
    fleet.has_sent("half of the limit", |times| times.len() >= LIMIT / 2).await;
    lose(&mut fleet.server);
    fleet.modes_are(Some("share")).await;
    let lost = *fleet.times().last().unwrap();
    // the first minute holds what was sent before; then each process has its part
    fleet
        .has_sent("calls of the second minute", |times| {
            times.last().is_some_and(|last| *last > lost + MINUTE_MS)
        })
        .await;
    bring_back(&mut fleet.server).await;
    writable(&fleet.server).await;
    let back = *fleet.times().last().unwrap();
    fleet.modes_are(None).await;
    let next = |times: &[u64]| times.iter().filter(|at| **at > back + MINUTE_MS).count() >= LIMIT / 2;
    fleet.has_sent("calls of the minute after the next", next).await;
    fleet.callers.shutdown().await;
    let times = fleet.times();
    let away = times.iter().filter(|at| (lost..back).contains(at)).count();
    let after = times.iter().filter(|at| **at >= back).count();
    println!(
        "{PROCESSES} processes, limit {LIMIT}: {} calls in the fullest minute; {away} while it was away for {} s, \
         {after} in the {} s after",
        fullest_minute(&times),
        (back - lost) / 1000,
        (times.last().unwrap() - back) / 1000
    );
    assert!(fullest_minute(&times) <= LIMIT, "{} calls in a minute", fullest_minute(&times));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn of_a_redis_that_comes_back_with_nothing() {
    hold_the_limit(|server| server.process().kill(), async |server| server.restart().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn of_a_redis_that_comes_back_as_it_was() {
    hold_the_limit(|server| server.process().freeze(), async |server| server.process().thaw()).await;
}
