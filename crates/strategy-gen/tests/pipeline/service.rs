//! A model that answers with replies of the corpus, over HTTP and with a pool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gemini_sim::{Config, Fault, FaultKind, Latency, Project, SimServer};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, MemoryStore};
use strategy_gen::keyrot_gemini::{Gemini, PooledGemini};
use strategy_gen::{
    CallError, GenerateOptions, LanguageModel, OnProgress, Pipeline, Prompt, Reply, StrategyGenerator,
};

use crate::table::{Row, reply};

pub(crate) const MODEL: &str = "gemini-2.5-flash";
pub(crate) const SECRET: &str = "sentinel-of-the-key";

/// A pool that keeps what was asked.
#[derive(Clone, Debug)]
struct Recorded {
    inner: PooledGemini,
    prompts: Arc<Mutex<Vec<Prompt>>>,
}

#[async_trait]
impl LanguageModel for Recorded {
    async fn ask(
        &self,
        prompt: &Prompt,
        request: KeyRequest,
        progress: OnProgress<'_>,
    ) -> Result<Reply, CallError> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner).push(prompt.clone());
        LanguageModel::ask(&self.inner, prompt, request, progress).await
    }
}

/// The service answers with these rows of the corpus, one after the other.
pub(crate) struct Service {
    pub(crate) sim: SimServer,
    pub(crate) pool: KeyPool,
    model: Recorded,
}

impl Service {
    pub(crate) async fn answering(rows: &[&Row]) -> Self {
        let latency = Latency::ZERO;
        let mut config = Config { latency, chunk_latency: latency, ..Config::default() };
        config = config.project(Project::new("p").key("a", SECRET));
        config = rows.iter().fold(config, |config, row| config.fault(answer(&reply(row), &row.finish)));
        let sim = SimServer::start(config).await.expect("it starts");
        let secrets = MemoryStore::default();
        let id = KeyId::parse("a").expect("an id");
        secrets.put(&id, SecretString::from(SECRET));
        let mut keys = KeySet::default();
        keys.upsert(KeyMetadata::new(id, MODEL)).expect("a key");
        let pool = KeyPool::builder(keys).secrets(secrets).build();
        let gemini = Gemini::builder().base_url(sim.base_url()).build().expect("a client");
        let inner = PooledGemini::new(pool.clone(), gemini);
        Self { sim, pool, model: Recorded { inner, prompts: Arc::default() } }
    }

    pub(crate) fn generator(&self, pipeline: Pipeline) -> StrategyGenerator {
        StrategyGenerator::new(self.model.clone()).pipeline(pipeline)
    }

    #[cfg(all(feature = "verify", target_os = "linux"))]
    pub(crate) fn prompts(&self) -> Vec<String> {
        let prompts = self.model.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.iter().map(|prompt| format!("{}{}", prompt.system, prompt.text)).collect()
    }
}

/// One event of a stream, as the provider sends it.
fn answer(text: &str, finish: &str) -> Fault {
    let event = serde_json::json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": text}]},
            "finishReason": finish,
            "index": 0,
        }],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
        "modelVersion": MODEL,
    });
    Fault::new(FaultKind::Verbatim {
        status: 200,
        body: format!("data: {event}\r\n\r\n"),
        content_type: Some("text/event-stream".to_owned()),
    })
    .times(1)
}

pub(crate) fn options() -> GenerateOptions {
    GenerateOptions::default().model(MODEL).deadline(Duration::from_secs(300))
}
