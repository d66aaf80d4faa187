//! A pool that is configured by variables and eight callers who never stop, while something happens to its Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gemini_sim::{Config, Latency, SimServer};
use keyrot::gemini::{GenerateRequest, PooledGemini};
use keyrot::{KeyRequest, Opened, Settings, Vars};
use keyrot_e2e::docs_shell::command;
use keyrot_e2e::over_http::timed;
use keyrot_e2e::world::{MODEL, project, secret_of};
use keyrot_test_servers::{RedisServer, run_program, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const CALLERS: usize = 8;
const PROJECTS: usize = 8;
/// How long the provider takes for a call.
const UPSTREAM_MS: u64 = 10;
/// The default of `KEYROT_REDIS_TIMEOUT`.
const DEADLINE: Duration = Duration::from_millis(200);
/// What a caller may wait beyond one deadline.
const BEYOND: Duration = Duration::from_millis(100);
/// A report never waits for Redis as long as this.
const REPORT: Duration = Duration::from_millis(100);
/// From Redis' return until limits are counted there again.
const RETURN: Duration = Duration::from_secs(2);
/// How long a condition may take to come about on a busy machine before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The policies under which callers must not see that Redis is away.
pub(crate) const POLICIES: [&str; 2] = ["open", "share"];

/// A pool, the provider that it calls, and the variables that describe both.
pub(crate) struct Service {
    policy: &'static str,
    provider: SimServer,
    opened: Opened,
    gemini: PooledGemini,
    vars: Vec<(String, String)>,
    _folder: TempDir,
}

impl Service {
    /// With `REDIS_URL` and more variables about Redis.
    pub(crate) async fn start(url: &str, policy: &'static str, more: &[(&str, &str)]) -> Self {
        let names: Vec<String> = (0..PROJECTS).map(|number| format!("key{number}")).collect();
        let config = Config::default().latency(Latency::Fixed { ms: UPSTREAM_MS });
        let config = names.iter().fold(config, |config, name| config.project(project(name, &[name])));
        let provider = SimServer::start(config).await.unwrap();
        let folder = TempDir::new().unwrap();
        // limits that are counted and never reached
        let entry = |name| json!({"key_id": name, "model_name": MODEL, "rpm": 60_000, "rpd": 1_000_000});
        let entries: Vec<Value> = names.iter().map(entry).collect();
        let vars = variables(&provider, &folder, &entries, url, policy, more);
        let opened = Settings::from_vars(&Vars::from_iter(vars.clone())).unwrap().open().await.unwrap();
        let gemini = opened.gemini().unwrap();
        Self { policy, provider, opened, gemini, vars, _folder: folder }
    }

    /// What was said when it was opened.
    pub(crate) fn notices(&self) -> String {
        format!("{:?}", self.opened.notices)
    }

    pub(crate) fn degraded(&self) -> Option<&'static str> {
        self.opened.pool.limiter_mode().degraded
    }

    /// Waits until the pool says that its failure policy holds.
    pub(crate) async fn is_away(&self) {
        wait_until("the outage to be noticed", PATIENCE, async || self.degraded() == Some(self.policy)).await;
    }

    /// How long it takes from Redis' `return` until limits are counted there.
    pub(crate) async fn is_back(&self, since: Instant) -> Duration {
        wait_until("limits to be counted in Redis again", PATIENCE, async || self.degraded().is_none()).await;
        now() - since
    }

    /// What `keyrot status` of another process says about the limiter now: `degraded`, if it is.
    pub(crate) async fn status(&self) -> Value {
        let vars: Vec<(&str, &str)> =
            self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let told = run_program(&command(), ["status", "--json"], &vars, "").await.success();
        serde_json::from_str(&told).unwrap()
    }

    /// Waits until Redis has counted every call that the provider has seen; how many more it has: those
    /// whose reservation was made although the answer came too late.
    pub(crate) async fn counted_beyond(&self) -> u32 {
        let sent = u32::try_from(self.provider.attempts().len()).unwrap();
        let mut counted = 0;
        wait_until("every call to be counted", PATIENCE, async || {
            let usage = self.opened.pool.usage().await.unwrap();
            counted = usage.iter().map(|(_, _, used)| used.day_requests).sum();
            self.degraded().is_none() && counted >= sent
        })
        .await;
        counted - sent
    }

    /// Starts the callers.
    pub(crate) fn load(&self) -> Load {
        let (stop, stopped) = watch::channel(false);
        let served = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(calls(self.gemini.clone(), Arc::clone(&served), stopped.clone()));
        }
        Load { stop, served, callers, stalls: tokio::spawn(longest_stall(stopped)) }
    }
}

/// What describes a pool of these entries that calls this provider.
pub(crate) fn variables(
    provider: &SimServer,
    folder: &TempDir,
    entries: &[Value],
    url: &str,
    policy: &str,
    more: &[(&str, &str)],
) -> Vec<(String, String)> {
    let file = folder.path().join("keys.json");
    std::fs::write(&file, json!({"keys": entries}).to_string()).unwrap();
    let own = [
        ("ENABLE_KEY_ROTATION", "true".to_owned()),
        ("KEYROT_KEYS_FILE", file.display().to_string()),
        ("GOOGLE_GEMINI_BASE_URL", provider.base_url()),
        ("REDIS_URL", url.to_owned()),
        ("KEYROT_REDIS_FAILURE", policy.to_owned()),
    ];
    let ids = entries.iter().map(|entry| entry["key_id"].as_str().unwrap());
    let secrets = ids.map(|id| (format!("GEMINI_KEY_{id}"), secret_of(id)));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(secrets).chain(more).collect()
}

/// The longest waits that a caller has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    acquire: Duration,
    report: Duration,
}

/// Callers at work.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    served: Arc<AtomicUsize>,
    callers: JoinSet<Waits>,
    stalls: JoinHandle<Duration>,
}

impl Load {
    /// Waits until so many more calls were served.
    pub(crate) async fn serves(&self, more: usize) {
        let until = self.served.load(Ordering::Relaxed) + more;
        wait_until("calls to be served", PATIENCE, async || self.served.load(Ordering::Relaxed) >= until)
            .await;
    }

    /// Ends it: nobody has seen an error, and nobody has waited too long.
    pub(crate) async fn end(self, what: &str, service: &Service, back: Option<Duration>) {
        self.stop.send_replace(true);
        let mut longest = Waits::default();
        for waits in self.callers.join_all().await {
            longest.acquire = longest.acquire.max(waits.acquire);
            longest.report = longest.report.max(waits.report);
        }
        let stall = self.stalls.await.unwrap();
        let served = self.served.load(Ordering::Relaxed);
        println!(
            "{what}, {}: {served} calls, 0 failures; longest acquire {:?}, longest report {:?}, back after {back:?} \
             (longest stall of the machine {stall:?})",
            service.policy, longest.acquire, longest.report
        );
        assert!(
            longest.acquire <= DEADLINE + BEYOND + stall,
            "{what}: an acquire took {:?}",
            longest.acquire
        );
        assert!(longest.report <= REPORT + stall, "{what}: a report took {:?}", longest.report);
        assert!(back.is_none_or(|back| back <= RETURN + stall), "{what}: back after {back:?}");
    }
}

async fn calls(gemini: PooledGemini, served: Arc<AtomicUsize>, stopped: watch::Receiver<bool>) -> Waits {
    let (request, body) = (KeyRequest::model(MODEL), GenerateRequest::user("Buy when RSI is below 30"));
    let mut longest = Waits::default();
    while !*stopped.borrow() {
        let mut call = gemini.pool().call(&request);
        let (lease, took) = timed(call.next()).await;
        longest.acquire = longest.acquire.max(took);
        let lease = lease.unwrap_or_else(|error| panic!("a caller saw: {error}"));
        let reply = gemini.client().generate(lease.secret(), lease.model(), &body).await.unwrap();
        let (attempts, took) = timed(call.succeeded(lease, reply.usage.settled())).await;
        longest.report = longest.report.max(took);
        assert_eq!(attempts.len(), 1, "no key was blamed: {attempts:?}");
        served.fetch_add(1, Ordering::Relaxed);
    }
    longest
}

/// How late a timer came at most: what nobody but the machine is to blame for.
async fn longest_stall(stopped: watch::Receiver<bool>) -> Duration {
    const TICK: Duration = Duration::from_millis(5);
    let mut longest = Duration::ZERO;
    while !*stopped.borrow() {
        let (_, took) = timed(tokio::time::timeout(TICK, std::future::pending::<()>())).await;
        longest = longest.max(took.saturating_sub(TICK));
    }
    longest
}

/// The moment when an independent client could write for the first time.
pub(crate) async fn writable(server: &RedisServer) -> Instant {
    wait_until("a server that takes writes", PATIENCE, async || {
        server.cli_with(["set", "probe", "1"]).await.stdout.trim_end() == "OK"
    })
    .await;
    now()
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
