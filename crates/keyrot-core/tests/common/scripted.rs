//! A pool over a store that does what a test says, and a provider that knows which secrets are good, all in virtual
//! time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    ActiveLease, Blame, Clock, Done, Effect, KeyHealth, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet,
    ManualClock, Outcome, RunError, SecretError, SecretErrorKind, SecretStore, Usage,
};

pub(crate) const MODEL: &str = "gemini-2.5-flash";
/// How long a store is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// What the store says of a key.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Value(&'static str),
    Trouble(SecretErrorKind),
    /// The value, after this time.
    Slow(Duration, &'static str),
    /// Nothing, until the deadline of the store.
    Hangs,
}

#[derive(Debug, Default)]
struct Script {
    says: HashMap<String, Says>,
    reads: Vec<String>,
    good: Vec<&'static str>,
}

/// The store and the provider; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    clock: ManualClock,
    script: Arc<Mutex<Script>>,
}

#[async_trait]
impl SecretStore for Scripted {
    fn locator(&self, key: &KeyMetadata) -> String {
        format!("test:{}", key.key_id)
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let says = {
            let mut script = self.script();
            script.reads.push(key.key_id.to_string());
            script.says.get(key.key_id.as_str()).cloned()
        };
        let trouble = |kind| SecretError::new(kind, self.locator(key), format!("{kind:?}"));
        match says {
            Some(Says::Value(value)) => Ok(SecretString::from(value)),
            Some(Says::Trouble(kind)) => Err(trouble(kind)),
            Some(Says::Slow(delay, value)) => {
                self.clock.sleep_until(self.clock.now() + delay).await;
                Ok(SecretString::from(value))
            }
            Some(Says::Hangs) => {
                self.clock.sleep_until(self.clock.now() + DEADLINE).await;
                Err(trouble(SecretErrorKind::TimedOut))
            }
            None => Err(trouble(SecretErrorKind::NotFound)),
        }
    }
}

impl Scripted {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

/// A pool of keys, each in a project of its own, whose first secrets are `ID-1` and good.
pub(crate) struct Bench {
    pub(crate) pool: KeyPool,
    pub(crate) clock: ManualClock,
    store: Scripted,
}

impl Bench {
    /// Every secret has been read once.
    pub(crate) async fn of(clock: &ManualClock, secrets: &[(&str, &'static str)]) -> Self {
        let store = Scripted { clock: clock.clone(), script: Arc::default() };
        let mut keys = KeySet::default();
        for (id, _) in secrets {
            keys.upsert(KeyMetadata::new(KeyId::parse(id).unwrap(), MODEL)).unwrap();
        }
        let pool = KeyPool::builder(keys).secrets(store.clone()).clock(clock.clone()).seed(7).build();
        let bench = Self { pool, clock: clock.clone(), store };
        for (id, secret) in secrets {
            bench.says(id, Says::Value(secret));
            bench.accept(secret);
        }
        assert!(bench.pool.load_secrets().await.is_empty());
        bench.store.script().reads.clear();
        bench
    }

    pub(crate) fn says(&self, id: &str, says: Says) {
        self.store.script().says.insert(id.to_owned(), says);
    }

    pub(crate) fn accept(&self, secret: &'static str) {
        self.store.script().good.push(secret);
    }

    /// From now on the provider refuses this secret.
    pub(crate) fn refuse(&self, secret: &str) {
        self.store.script().good.retain(|good| *good != secret);
    }

    /// The store holds another value, and the provider knows it instead of the old one.
    pub(crate) fn rotate(&self, id: &str, old: &str, new: Says) {
        self.refuse(old);
        if let Says::Value(value) | Says::Slow(_, value) = new {
            self.accept(value);
        }
        self.says(id, new);
    }

    /// The ids in the order in which the store was asked for them since the start.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.store.script().reads.clone()
    }

    pub(crate) fn health(&self, id: &str) -> KeyHealth {
        self.pool.health()[id].clone()
    }

    /// A call with failover, whose attempts take a second each; gives the secret that was sent last.
    pub(crate) async fn call(&self) -> Result<Done<String>, RunError<Outcome>> {
        let mut call = self.pool.call(&request());
        let mut last = None;
        loop {
            let lease = match call.next().await {
                Ok(lease) => lease,
                Err(error) => return Err(call.give_up(error, last)),
            };
            match self.send(&lease).await {
                Ok(secret) => return Ok(Done::new(secret, call.succeeded(lease, Usage::default()).await)),
                Err(outcome) => {
                    if !call.failed(lease, &outcome).await {
                        return Err(call.fail(outcome));
                    }
                    last = Some(outcome);
                }
            }
        }
    }

    async fn send(&self, lease: &ActiveLease) -> Result<String, Outcome> {
        let secret = lease.secret().expose_secret().to_owned();
        self.clock.sleep_until(self.clock.now() + Duration::from_secs(1)).await;
        match self.store.script().good.contains(&secret.as_str()) {
            true => Ok(secret),
            false => Err(rejected()),
        }
    }

    /// A lease of this key, under way.
    pub(crate) async fn lease(&self, id: &str) -> ActiveLease {
        let request = request().pinned_to(id.into());
        self.pool.acquire(&request).await.unwrap().begin().unwrap()
    }

    /// What a facade runs beside the pool, for as long as the test lasts.
    pub(crate) fn keep_fresh(&self) {
        let (pool, clock) = (self.pool.clone(), self.clock.clone());
        tokio::spawn(async move {
            loop {
                let look = pool.clone();
                tokio::spawn(async move { look.refresh_secrets().await });
                tokio::select! {
                    () = clock.sleep_until(clock.now() + Duration::from_secs(5)) => {}
                    () = pool.secret_wanted() => {}
                }
            }
        });
    }

    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }
}

pub(crate) fn request() -> KeyRequest {
    KeyRequest::model(MODEL).within(Duration::from_secs(60))
}

pub(crate) fn rejected() -> Outcome {
    Outcome::new(Blame::Key, Effect::KeyRejected, "API key not valid")
}
