//! What every secret store must stand, whichever it is: its server is an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gemini_sim::{Attempt, Config, Fault, FaultKind, Project, SimServer};
use keyrot::gemini::{GenerateRequest, PooledGemini};
use keyrot::{ConfigError, KeyRequest, Opened, Settings, Vars};
use keyrot_e2e::over_http::timed;
use keyrot_e2e::world::MODEL;
use keyrot_test_servers::{Process, wait_until};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

const REQUESTS: usize = 200;
const CONCURRENCY: usize = 8;
/// So many requests have begun when it happens; the others begin after it.
const BEFORE: usize = 60;
/// The only key: nothing else can serve.
pub(crate) const KEY: &str = "flash_01";
pub(crate) const OLD: &str = "AIzaSyOld-4b8d1e7a2f";
pub(crate) const NEW: &str = "AIzaSyNew-93c6f05be1";
/// How many keys a cold start asks for.
const KEYS: usize = 50;

/// A store's server under test.
pub(crate) trait StoreServer: Sized {
    /// Running, without a secret of ours.
    async fn start() -> Self;

    /// `SECRET_STORE_TYPE` and all that the store needs beside it.
    fn vars(&self) -> Vec<(&'static str, String)>;

    /// What an error must name: the store and where it is.
    fn names(&self) -> [String; 2];

    /// Writes the secret of a key as others than keyrot do.
    async fn put(&self, id: &str, secret: &str);

    /// How many reads of secrets have reached the server so far, by its own record.
    async fn reads(&self) -> usize;

    /// The server itself, to kill or to freeze.
    fn process(&mut self) -> &mut Process;
}

/// How a server goes away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// SIGKILL: connections are refused.
    Killed,
    /// SIGSTOP: connections are taken, nobody answers.
    Frozen,
}

/// A pool that is configured by variables, the provider that it calls and the store that it reads.
struct Service<S> {
    store: S,
    provider: SimServer,
    opened: Opened,
    gemini: Arc<PooledGemini>,
    folder: TempDir,
}

impl<S: StoreServer> Service<S> {
    async fn start(more: &[(&'static str, &str)]) -> Self {
        let store = S::start().await;
        store.put(KEY, OLD).await;
        let provider = provider().await;
        let folder = TempDir::new().unwrap();
        let opened = open(&store, &provider, &folder, 1, more).await.unwrap();
        let gemini = Arc::new(opened.gemini().unwrap());
        Self { store, provider, opened, gemini, folder }
    }

    /// All requests; `happens` is done when the first of them have begun.
    async fn load(&mut self, happens: impl AsyncFnOnce(&mut S, &SimServer)) {
        let Self { store, provider, gemini, .. } = self;
        load(gemini, async || happens(store, provider).await).await;
    }
}

/// All requests; `happens` is done when the first of them have begun.
pub(crate) async fn load(gemini: &Arc<PooledGemini>, happens: impl AsyncFnOnce()) {
    let begun = Arc::new(AtomicUsize::new(0));
    let (open, gate) = watch::channel(false);
    let mut callers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (gemini, begun, mut gate) = (Arc::clone(gemini), Arc::clone(&begun), gate.clone());
        callers.spawn(async move {
            loop {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                if number >= REQUESTS {
                    return;
                }
                if number >= BEFORE {
                    gate.wait_for(|open| *open).await.unwrap();
                }
                let body = GenerateRequest::user("Buy when RSI is below 30");
                let done = gemini.generate(&KeyRequest::model(MODEL), &body).await;
                done.unwrap_or_else(|error| panic!("caller {number} saw an error: {error}"));
            }
        });
    }
    let started = async || begun.load(Ordering::Relaxed) >= BEFORE;
    wait_until("the load to begin", Duration::from_secs(30), started).await;
    happens().await;
    open.send(true).unwrap();
    callers.join_all().await;
}

/// A provider that knows the secret of before and the one after it.
pub(crate) async fn provider() -> SimServer {
    let keys = Project::new("mine").key("old", OLD).key("new", NEW);
    SimServer::start(Config::default().project(keys)).await.unwrap()
}

fn count(provider: &SimServer, counts: impl Fn(&Attempt) -> bool) -> usize {
    provider.attempts().iter().filter(|attempt| counts(attempt)).count()
}

fn answered(provider: &SimServer, by: &str) -> usize {
    count(provider, |attempt| attempt.key_id.as_deref() == Some(by) && attempt.status == Some(200))
}

/// The provider takes the secret of before no more.
pub(crate) fn refuse_the_old_one(provider: &SimServer) {
    provider.add_fault(Fault::new(FaultKind::KeyInvalid).key("old")).unwrap();
}

/// Every request was answered, those that began after it by the new secret; nobody but the calls in flight met a refusal.
pub(crate) fn assert_taken_over(provider: &SimServer) {
    let refused = count(provider, |attempt| attempt.status == Some(400));
    println!("{REQUESTS} requests: {refused} calls were refused, no caller saw it");
    assert!((1..=CONCURRENCY).contains(&refused), "{refused} calls were refused");
    let [old, new] = ["old", "new"].map(|key| answered(provider, key));
    assert_eq!(old + new, REQUESTS);
    assert!(new >= REQUESTS - BEFORE, "{new} by the new one");
}

/// Opens a pool of so many keys as a program does.
async fn open<S: StoreServer>(
    store: &S,
    provider: &SimServer,
    folder: &TempDir,
    keys: usize,
    more: &[(&'static str, &str)],
) -> Result<Opened, ConfigError> {
    let entry = |number| json!({"key_id": format!("flash_{number:02}"), "model_name": MODEL});
    let entries: Vec<_> = (1..=keys).map(entry).collect();
    let file = folder.path().join(format!("keys-{keys}.json"));
    std::fs::write(&file, json!({"keys": entries}).to_string()).unwrap();
    let own = [
        ("ENABLE_KEY_ROTATION", "true".to_owned()),
        ("KEYROT_KEYS_FILE", file.display().to_string()),
        ("GOOGLE_GEMINI_BASE_URL", provider.base_url()),
    ];
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let vars = Vars::from_iter(own.into_iter().chain(store.vars()).chain(more));
    Settings::from_vars(&vars)?.open().await
}

/// A secret is replaced in the store and the provider refuses the old one: the calls in flight go on with the new one,
/// and the store is read once for all of them.
pub(crate) async fn a_replaced_secret_is_taken_over<S: StoreServer>() {
    let mut service = Service::<S>::start(&[]).await;
    let read_before = service.store.reads().await;
    service
        .load(async |store, provider| {
            store.put(KEY, NEW).await;
            refuse_the_old_one(provider);
        })
        .await;
    assert_taken_over(&service.provider);
    assert_eq!(service.store.reads().await - read_before, 1, "reads of the store");
    service.opened.pool.close().await;
}

/// The store goes away under load, while secrets are due to be read again: what was read before is used. Who starts
/// then is told in time which store does not answer, however many keys there are.
pub(crate) async fn a_lost_store_is_not_noticed_until_a_cold_start<S: StoreServer>(loss: Loss) {
    let due_at_once = [("KEYROT_SECRET_TTL", "50ms"), ("KEYROT_SECRET_TIMEOUT", "1s")];
    let mut service = Service::<S>::start(&due_at_once).await;
    service
        .load(async |store, _| match loss {
            Loss::Killed => store.process().kill(),
            Loss::Frozen => store.process().freeze(),
        })
        .await;
    assert_eq!(answered(&service.provider, "old"), REQUESTS);
    assert_eq!(service.provider.attempts().len(), REQUESTS, "no call was made twice");

    let Service { store, provider, folder, .. } = &service;
    let (opened, took) = timed(open(store, provider, folder, KEYS, &[])).await;
    let error = opened.expect_err("no secret can be had").to_string();
    println!("{loss:?}: a cold start with {KEYS} keys failed after {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    for name in store.names() {
        assert!(error.contains(&name), "{name:?} is missing: {error}");
    }
    service.opened.pool.close().await;
}
