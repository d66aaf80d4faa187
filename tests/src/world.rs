//! A pool and the provider that it calls, in one process and on one clock that nobody waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use fastrand::Rng;
use gemini_sim::{Attempt, Call, Config, Engine, Operation, Project, Reply};
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    ActiveLease, Attempt as Tried, Blame, Clock, Effect, KeyId, KeyMetadata, KeyPool, KeyPoolBuilder,
    KeyRequest, KeySet, ManualClock, MemoryStore, Outcome, RunError, Usage,
};

/// The model of every scenario that needs only one.
pub const MODEL: &str = "gemini-2.5-flash";

/// The secret of a key, in the simulator and in the pool.
pub fn secret_of(id: &str) -> String {
    format!("AIzaSy-secret-of-{id}")
}

/// A project of the simulator that holds these keys.
pub fn project(id: &str, keys: &[&str]) -> Project {
    keys.iter().fold(Project::new(id), |project, key| project.key(*key, secret_of(key)))
}

/// The entry of keys.json for a key of a project.
///
/// # Panics
/// If the id is none.
pub fn entry(id: &str, project: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).expect("a key id"), MODEL).with_project(project)
}

/// The keys as a set.
///
/// # Panics
/// If two entries contradict each other.
pub fn key_set(entries: impl IntoIterator<Item = KeyMetadata>) -> KeySet {
    let mut keys = KeySet::default();
    for entry in entries {
        keys.upsert(entry).expect("entries that fit together");
    }
    keys
}

/// A store with the secret of each key.
pub fn secrets(keys: &KeySet) -> MemoryStore {
    let store = MemoryStore::default();
    for key in keys.iter() {
        store.put(&key.key_id, SecretString::from(secret_of(key.key_id.as_str())));
    }
    store
}

/// The time that a call takes from the caller to the provider.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// None: what the provider records is the moment of sending.
    None,
    /// Lognormal, as measured: half of the calls take less than the median.
    Lognormal {
        /// Milliseconds.
        median_ms: f64,
        /// Spread of the logarithm.
        sigma: f64,
    },
}

/// See the module. Clones are handles of the same world.
#[derive(Clone, Debug)]
pub struct World {
    /// The pool under test.
    pub pool: KeyPool,
    /// The time of both.
    pub clock: ManualClock,
    engine: Arc<Mutex<Engine>>,
    way: Way,
    rng: Arc<Mutex<Rng>>,
}

impl World {
    /// A world at the clock's time; the same for the same seed.
    ///
    /// # Panics
    /// If the simulator refuses its configuration.
    pub fn new(
        clock: ManualClock,
        config: Config,
        entries: impl IntoIterator<Item = KeyMetadata>,
        seed: u64,
    ) -> Self {
        Self::with_pool(clock, config, entries, seed, |pool| pool)
    }

    /// The same with other options of the pool.
    ///
    /// # Panics
    /// If the simulator refuses its configuration.
    pub fn with_pool(
        clock: ManualClock,
        config: Config,
        entries: impl IntoIterator<Item = KeyMetadata>,
        seed: u64,
        options: impl FnOnce(KeyPoolBuilder) -> KeyPoolBuilder,
    ) -> Self {
        let keys = key_set(entries);
        let builder = KeyPool::builder(keys.clone()).secrets(secrets(&keys)).clock(clock.clone()).seed(seed);
        let engine = Engine::new(config, seed, wall_ms(&clock)).expect("a configuration without problems");
        Self {
            pool: options(builder).build(),
            clock,
            engine: Arc::new(Mutex::new(engine)),
            way: Way::None,
            rng: Arc::new(Mutex::new(Rng::with_seed(seed))),
        }
    }

    /// Calls take this time to arrive.
    #[must_use]
    pub fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// A generation with failover.
    ///
    /// # Errors
    /// What the caller of the pool sees.
    pub async fn generate(&self, request: &KeyRequest) -> Result<Vec<Tried>, RunError<Outcome>> {
        self.call(request, Operation::Generate, 1000).await
    }

    /// A call with failover, as a client drives it. Gives every try.
    ///
    /// # Errors
    /// What the caller of the pool sees.
    pub async fn call(
        &self,
        request: &KeyRequest,
        operation: Operation,
        tokens: u64,
    ) -> Result<Vec<Tried>, RunError<Outcome>> {
        let mut call = self.pool.call(request);
        let mut last = None;
        loop {
            let mut lease = match call.next().await {
                Ok(lease) => lease,
                Err(error) => return Err(call.give_up(error, last)),
            };
            match self.send(&mut lease, operation, tokens).await {
                Ok(usage) => return Ok(call.succeeded(lease, usage).await),
                Err(outcome) => {
                    if !call.failed(lease, &outcome).await {
                        return Err(call.fail(outcome));
                    }
                    last = Some(outcome);
                }
            }
        }
    }

    /// One attempt as a client makes it: the call travels, the provider decides, the reply is classified. A
    /// stream reports its first content as it comes.
    ///
    /// # Errors
    /// The verdict on whatever went wrong.
    pub async fn send(
        &self,
        lease: &mut ActiveLease,
        operation: Operation,
        tokens: u64,
    ) -> Result<Usage, Outcome> {
        self.pass(self.travel()).await;
        let verdict = {
            let secret = lease.secret().expose_secret();
            let call = Call::generate(secret, lease.model().as_str(), "Buy when RSI is below 30")
                .input_tokens(tokens)
                .operation(operation);
            self.engine().arrive(wall_ms(&self.clock), &call)
        };
        self.pass(verdict.latency).await;
        match verdict.reply {
            Reply::Answer(answer) => {
                let usage = Usage::input(answer.usage.prompt_token_count);
                if operation == Operation::Stream {
                    lease.first_content(usage).await;
                    for _ in 1..answer.to_chunks().len() {
                        self.pass(verdict.chunk_latency).await;
                    }
                }
                match answer.broken {
                    None => Ok(usage),
                    Some(_) => Err(cut_off()),
                }
            }
            Reply::Granted => Ok(Usage::default()),
            Reply::Refused(refusal) => Err(keyrot_gemini::classify(refusal.status, None, &refusal.body)),
            Reply::Cut => Err(cut_off()),
        }
    }

    /// Lets this much time pass.
    pub async fn pass(&self, time: Duration) {
        if time > Duration::ZERO {
            self.clock.sleep_until(self.clock.now() + time).await;
        }
    }

    /// Waits for a moment.
    pub async fn until(&self, moment: Instant) {
        self.clock.sleep_until(moment).await;
    }

    /// The provider's record: each attempt that reached it.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.engine().attempts().cloned().collect()
    }

    /// The provider itself.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, in ms since 1970.
    pub fn now_ms(&self) -> u64 {
        wall_ms(&self.clock)
    }

    fn travel(&self) -> Duration {
        match self.way {
            Way::None => Duration::ZERO,
            Way::Lognormal { median_ms, sigma } => {
                let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
                let ms = median_ms * (sigma * normal(&mut rng)).exp();
                Duration::from_secs_f64(ms.min(median_ms * 100.0) / 1000.0)
            }
        }
    }
}

fn cut_off() -> Outcome {
    Outcome::new(Blame::Service, Effect::Transient, "the connection was cut")
}

pub(crate) fn wall_ms(clock: &ManualClock) -> u64 {
    let since = clock.wall().duration_since(UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(since.as_millis()).expect("a time that fits")
}

/// A standard normal number (Box and Muller).
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}
