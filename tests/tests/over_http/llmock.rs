//! The library against a Gemini emulator that others wrote, with a quota for each key.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gemini_sim::{Call, Config, Engine, Reply};
use keyrot_core::{Clock, KeyPool, Limits, SystemClock};
use keyrot_e2e::world::{MODEL, entry, key_set, project, secret_of, secrets};
use keyrot_gemini::{Gemini, PooledGemini};
use keyrot_test_servers::tool;
use serde_json::{Value, json};
use strategy_gen::{GenerateOptions, StrategyGenerator};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const RPM: u32 = 3;
const SENTENCES: [&str; 3] = [
    "Buy when RSI is below 30, sell when it is above 70",
    "Buy when the 10 day average crosses above the 30 day average",
    "Buy at the lower Bollinger band, sell at the upper one",
];

/// The emulator as a process of its own; ends with this value.
struct LlMock {
    _process: Child,
    address: String,
}

impl LlMock {
    async fn start() -> Self {
        let mut process = Command::new(tool("llmock"))
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--rpm", &RPM.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("llmock starts");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("llmock says where it listens");
                if let Some((_, rest)) = line.split_once("Uvicorn running on ") {
                    return rest.split(' ').next().unwrap().to_owned();
                }
            }
        };
        let address = tokio::time::timeout(Duration::from_secs(60), address).await.expect("llmock starts");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} }); // its log must not fill up
        Self { _process: process, address }
    }

    /// Every call is answered with this text.
    async fn always_says(&self, text: &str) {
        let script = json!({"behaviors": [{"type": "reply", "text": text, "times": null}]});
        let reply = self.control(reqwest::Method::POST, "scenario").json(&script).send().await.unwrap();
        assert_eq!(reply.status(), 201);
    }

    /// What it has answered, oldest first.
    async fn requests(&self) -> Vec<Value> {
        let reply = self.control(reqwest::Method::GET, "requests").send().await.unwrap();
        let mut record: Value = reply.json().await.unwrap();
        record["requests"].as_array_mut().map(std::mem::take).unwrap()
    }

    fn control(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.request(method, format!("{}/_llmock/{path}", self.address))
    }
}

/// A strategy as a model writes it.
fn strategy() -> String {
    let mut engine = Engine::new(Config::default().project(project("p", &["k"])), 7, 0).unwrap();
    let verdict = engine.arrive(0, &Call::generate(&secret_of("k"), MODEL, SENTENCES[0]));
    let Reply::Answer(answer) = verdict.reply else { panic!("{:?}", verdict.reply) };
    answer.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs llmock: cargo xtask test"]
async fn twelve_generations_in_a_minute_use_every_keys_quota_and_not_more() {
    let llmock = LlMock::start().await;
    llmock.always_says(&strategy()).await;
    let limits = Limits::new(Some(RPM), None, None);
    let keys = key_set(KEYS.map(|id| entry(id, id).with_limits(limits)));
    let pool = KeyPool::builder(keys.clone()).secrets(secrets(&keys)).seed(7).build();
    let client = Gemini::builder().base_url(format!("{}/gemini", llmock.address)).build().unwrap();
    let generator = Arc::new(StrategyGenerator::new(PooledGemini::new(pool.clone(), client)));

    let start = SystemClock.now();
    let mut generations = JoinSet::new();
    for number in 0..KEYS.len() * RPM as usize {
        let generator = Arc::clone(&generator);
        generations.spawn(async move {
            let options = GenerateOptions::default().model(MODEL);
            generator.generate(SENTENCES[number % SENTENCES.len()], &options).await
        });
    }
    while let Some(strategy) = generations.join_next().await {
        let strategy = strategy.unwrap().expect("every sentence becomes a strategy");
        assert!(strategy.code.contains("class "), "{}", strategy.code);
    }
    let took = SystemClock.now() - start;
    assert!(took < Duration::from_secs(60), "{took:?}: the quota of a minute was not used in it");

    let requests = llmock.requests().await;
    let refused: Vec<&Value> = requests.iter().filter(|request| request["status"] != 200).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!(requests.len(), 12);
    for (id, health) in pool.health() {
        assert_eq!(health.success_count, u64::from(RPM), "{id}: {health:?}");
    }
}
