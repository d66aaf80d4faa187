//! A reply that fails is sent back with what was seen, until one is verified: each round a call with a key of the pool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gemini_sim::{Config, Fault, FaultKind, Latency, Project, SimServer};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, MemoryStore};
use strategy_gen::keyrot_gemini::{Gemini, PooledGemini};
use strategy_gen::{
    CallError, GenerateError, GenerateOptions, LanguageModel, OnProgress, Pipeline, Prompt, Reply, Stage,
    StrategyGenerator, extract,
};

use crate::sandboxed::runner;
use crate::table::{Row, reply, rows};

const MODEL: &str = "gemini-2.5-flash";
const SECRET: &str = "sentinel-of-the-key";

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

/// The service answers with these files of the corpus, one after the other.
struct Service {
    sim: SimServer,
    pool: KeyPool,
    model: Recorded,
}

impl Service {
    async fn answering(files: &[&str]) -> Self {
        let rows = rows();
        let row = |file: &&str| -> &Row { rows.iter().find(|row| row.file == *file).expect("a reply") };
        let latency = Latency::ZERO;
        let mut config = Config { latency, chunk_latency: latency, ..Config::default() };
        config = config.project(Project::new("p").key("a", SECRET));
        config = files.iter().map(row).fold(config, |config, row| config.fault(answer(&reply(row))));
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

    fn generator(&self) -> StrategyGenerator {
        let pipeline = Pipeline::default().runner(runner(Duration::from_secs(30)));
        StrategyGenerator::new(self.model.clone()).pipeline(pipeline)
    }

    fn prompts(&self) -> Vec<String> {
        let prompts = self.model.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.iter().map(|prompt| format!("{}{}", prompt.system, prompt.text)).collect()
    }
}

/// One event of a stream, as the provider sends it.
fn answer(text: &str) -> Fault {
    let event = serde_json::json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": text}]},
            "finishReason": "STOP",
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

fn options() -> GenerateOptions {
    GenerateOptions::default().model(MODEL).deadline(Duration::from_secs(300))
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn bad_bad_good_ends_verified_in_three_calls_with_a_lease_each() {
    let files = ["bad_diff_on_array.md", "cheat_shift.md", "good_sma_cross.md"];
    let service = Service::answering(&files).await;
    let strategy = service.generator().generate("x", &options()).await.expect("the third one is good");
    assert!(strategy.verified && strategy.repaired);
    assert_eq!(strategy.attempts.len(), 3);
    assert_eq!(service.sim.attempts().len(), 3);
    let leases: u64 = service.pool.health().values().map(|key| key.success_count).sum();
    assert_eq!(leases, 3);

    let prompts = service.prompts();
    let [first, second, third] = &prompts[..] else { panic!("{} prompts", prompts.len()) };
    assert!(!first.contains("Finding:"));
    // The whole module, the traceback with its own lines, and what was raised.
    let code = |file: &str| {
        let row = rows().into_iter().find(|row| row.file == file).expect("a reply");
        extract(&reply(&row)).expect("a module").code
    };
    assert!(second.contains(&code(files[0])), "{second}");
    for told in ["backtest: ", "File \"strategy.py\", line ", "AttributeError", "has no attribute 'diff'"] {
        assert!(second.contains(told), "{told}: {second}");
    }
    assert!(third.contains(&code(files[1])) && !third.contains("AttributeError"), "{third}");
    assert!(
        third.contains("judge: the strategy looks into the future") && third.contains("of 16 runs"),
        "{third}"
    );
    for prompt in &prompts {
        assert!(!prompt.contains(SECRET) && !prompt.contains("/tmp"), "{prompt}");
    }
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn without_a_good_one_the_best_is_kept_with_its_report() {
    let files = ["bad_syntax_colon.md", "cheat_shift.md", "bad_never_trades.md", "bad_diff_on_array.md"];
    let service = Service::answering(&files).await;
    let error = service.generator().generate("x", &options()).await.expect_err("none is good");
    let GenerateError::Invalid { fault, strategy, replies, spent } = error else { panic!("{error}") };
    assert_eq!((replies, spent.attempts.len(), service.sim.attempts().len()), (4, 4, 4));
    assert_eq!(
        (fault.stage, fault.reason.name()),
        (Stage::Judge, "no-trades"),
        "the later of the two furthest"
    );
    assert!(!strategy.verified && strategy.report.backtest.is_some());
    assert_eq!(strategy.report.fault.as_ref(), Some(&*fault));
}
