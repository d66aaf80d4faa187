//! A pool that calls the simulator over HTTP, in real time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use gemini_sim::{Config, Operation, ServerOptions, SimServer};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Clock, KeyMetadata, KeyPool, KeyRequest, KeySet, MemoryStore, ModelName, RunError, SystemClock,
};
use keyrot_gemini::{Gemini, GeminiError, GenerateRequest, PooledGemini};
use tokio::task::JoinSet;

use crate::four_keys::{CONCURRENCY, REQUESTS};
use crate::world::{MODEL, key_set, secret_of, secrets};

/// What every call says.
const PROMPT: &str = "Buy when RSI is below 30, sell when it is above 70";

/// A simulator on a loopback port and a pool that calls it.
#[derive(Debug)]
pub struct Service {
    /// The provider.
    pub server: SimServer,
    /// The pool under test with its client.
    pub gemini: PooledGemini,
}

impl Service {
    /// Starts the simulator; all dice of both sides follow the seed.
    ///
    /// # Panics
    /// If the simulator refuses its configuration or no port is free.
    pub async fn start(config: Config, entries: impl IntoIterator<Item = KeyMetadata>, seed: u64) -> Self {
        let keys = key_set(entries);
        Self::with_secrets(config, &keys, secrets(&keys), seed).await
    }

    /// The same with secrets of the caller's choice.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn with_secrets(config: Config, keys: &KeySet, secrets: MemoryStore, seed: u64) -> Self {
        let options = ServerOptions { seed, ..ServerOptions::default() };
        let server = SimServer::start_with(config, options).await.expect("a simulator");
        let pool = KeyPool::builder(keys.clone()).secrets(secrets).seed(seed).build();
        let client = Gemini::builder().base_url(server.base_url()).build().expect("a client");
        Self { server, gemini: PooledGemini::new(pool, client) }
    }

    /// A call through the pool, read to its end.
    ///
    /// # Errors
    /// What the caller of the pool sees.
    pub async fn call(
        &self,
        request: &KeyRequest,
        operation: Operation,
    ) -> Result<(), RunError<GeminiError>> {
        let body = GenerateRequest::user(PROMPT);
        if operation == Operation::Stream {
            return self.gemini.stream(request, &body).await?.try_for_each(async |_| Ok(())).await;
        }
        self.gemini.generate(request, &body).await.map(drop)
    }

    /// The same call without a pool, with a key that is well.
    ///
    /// # Panics
    /// If it fails.
    pub async fn call_directly(&self, id: &str, operation: Operation) {
        let (secret, model) = (SecretString::from(secret_of(id)), ModelName::from(MODEL));
        let (client, body) = (self.gemini.client(), GenerateRequest::user(PROMPT));
        let answer = if operation == Operation::Stream {
            match client.stream(&secret, &model, &body).await {
                Ok(stream) => stream.collect_reply().await,
                Err(error) => Err(error),
            }
        } else {
            client.generate(&secret, &model, &body).await
        };
        answer.expect("the key is well");
    }
}

/// Does something a thousand times, 16 times at once, and gives how long each took.
///
/// # Panics
/// If one of them does.
pub async fn thousand_times<F>(act: impl Fn() -> F + Clone + Send + 'static) -> Vec<Duration>
where
    F: Future<Output = Vec<Duration>> + Send,
{
    let begun = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (act, begun) = (act.clone(), Arc::clone(&begun));
        callers.spawn(async move {
            let mut times = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                times.extend(act().await);
            }
            times
        });
    }
    callers.join_all().await.concat()
}

/// How long something takes.
pub async fn timed<T>(act: impl Future<Output = T>) -> (T, Duration) {
    let start = SystemClock.now();
    let done = act.await;
    (done, SystemClock.now() - start)
}
