//! What verifying strategies costs: the gate, one run with and without the sandbox, a batch of many.
//!
//! `cargo xtask bench strategies`. Fails if a figure is worse than docs/performance.md promises.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends at what it does not expect")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;
use gemini_sim::{Config, Latency, Project, SimServer};
use keyrot_core::{Clock, SystemClock};
use keyrot_test_servers::tool;
use serde_json::{Value, json};
use strategy_gen::{Gate, Isolation, Pipeline, PythonEnvironment, PythonRunner, Sandbox};

/// A strategy with a period of its own, so that no two are the same.
fn strategy(period: usize, padding: usize) -> String {
    let unused: String = (0..padding)
        .map(|n| format!("def average_{n}(values, n):\n    # Not used.\n    return pd.Series(values).rolling(n).mean()\n\n\n"))
        .collect();
    format!(
        "import pandas as pd\nfrom backtesting import Strategy\nfrom backtesting.lib import crossover\n\n\n{unused}\
         def sma(values, n):\n    return pd.Series(values).rolling(n).mean()\n\n\n\
         class Cross(Strategy):\n    fast = {period}\n    slow = {}\n\n    \
         def init(self):\n        self.quick = self.I(sma, self.data.Close, self.fast)\n        \
         self.calm = self.I(sma, self.data.Close, self.slow)\n\n    \
         def next(self):\n        if crossover(self.quick, self.calm):\n            self.position.close()\n            self.buy()\n        \
         elif crossover(self.calm, self.quick):\n            self.position.close()\n            self.sell()\n",
        3 * period
    )
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn since(begun: Instant) -> Duration {
    SystemClock.now() - begun
}

fn row(figure: &str, asked: &str, measured: String, holds: bool) -> bool {
    println!("| {figure} | {asked} | {measured} |");
    holds
}

fn environment() -> PathBuf {
    tool("python").parent().and_then(Path::parent).unwrap().to_owned()
}

fn pipeline(isolation: Isolation) -> Pipeline {
    let environment = PythonEnvironment::at(&environment()).unwrap();
    let mut sandbox = Sandbox::new([env!("CARGO_BIN_EXE_keyrot")]);
    sandbox.isolation = isolation;
    Pipeline::default().runner(PythonRunner::new(environment, sandbox))
}

async fn verify(pipeline: &Pipeline, period: usize) -> Duration {
    let begun = SystemClock.now();
    let report = pipeline.verify_code(&strategy(period, 0)).await;
    assert!(report.verified, "{:?} {:?}", report.fault, report.not_run);
    since(begun)
}

/// One after the other, in turns, so that both meet the same machine.
async fn alternating(runs: usize) -> (Vec<Duration>, Vec<Duration>) {
    let (inside, outside) = (pipeline(Isolation::Full), pipeline(Isolation::None));
    verify(&inside, 5).await; // its files are in memory from here on
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for period in 6..6 + runs {
        with.push(verify(&inside, period).await);
        without.push(verify(&outside, period).await);
    }
    (with, without)
}

/// The median time of the gate for this module.
fn gate(code: &str) -> Duration {
    let mut times = Vec::new();
    Criterion::default().sample_size(50).bench_function("gate", |bencher| {
        bencher.iter_custom(|count| {
            let begun = SystemClock.now();
            (0..count).for_each(|_| drop(std::hint::black_box(Gate::default().check(code).unwrap())));
            let took = since(begun);
            times.push(took.div_f64(count as f64));
            took
        });
    });
    median(times)
}

/// Items a second of `keyrot generate --batch`, with a provider that answers at once.
async fn batch(items: u32) -> f64 {
    let provider = Config::default().latency(Latency::ZERO).project(Project::new("one").key("one", "secret"));
    let server = SimServer::start(provider).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keyrot")).unwrap();
    std::os::unix::fs::symlink(environment(), folder.path().join("keyrot/python")).unwrap();
    let item =
        |n: u32| json!({"text": format!("Buy when RSI({}) < {}, sell when RSI > 60", 5 + n / 5, 35 + n % 5)});
    let lines: String = (0..items).map(|n| format!("{}\n", item(n))).collect();
    std::fs::write(folder.path().join("items.jsonl"), lines).unwrap();
    let mut keyrot = Command::new(env!("CARGO_BIN_EXE_keyrot"));
    keyrot
        .args(["generate", "--batch", "items.jsonl", "--out-dir", "out", "--concurrency", "8"])
        .args(["--require-verified"])
        .env_clear()
        .env("REDIS_URL", "")
        .env("GEMINI_API_KEY", "secret")
        .env("GOOGLE_GEMINI_BASE_URL", server.base_url())
        .env("XDG_DATA_HOME", folder.path())
        .current_dir(folder.path())
        .stderr(Stdio::inherit());
    let begun = SystemClock.now();
    let output = tokio::task::spawn_blocking(move || keyrot.output().unwrap()).await.unwrap();
    let took = since(begun);
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    let verified = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["status"] == "verified";
    assert_eq!(told.lines().filter(verified).count(), items as usize);
    f64::from(items) / took.as_secs_f64()
}

#[tokio::main]
async fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"strategies".contains(&filter) {
        return;
    }
    let long = strategy(10, 36);
    let lines = long.lines().count();
    let gate = gate(&long).as_secs_f64() * 1e3;
    println!("| figure | asked | measured |\n|---|---|---|");
    let mut good = row(&format!("gate, {lines} lines"), "at most 5 ms", format!("{gate:.2} ms"), gate <= 5.0);

    let (with, without) = alternating(9).await;
    let (with, without) = (median(with).as_secs_f64(), median(without).as_secs_f64());
    good &=
        row("one strategy verified, warm, median of 9", "at most 6 s", format!("{with:.2} s"), with <= 6.0);
    let ratio = with / without;
    good &= row("the same beside no sandbox", "at most 1.5", format!("{ratio:.2}"), ratio <= 1.5);

    let rate = batch(100).await;
    let measured = format!("{rate:.2} a second");
    good &= row("a batch of 100, 8 at a time", "at least 0.4 a second", measured, rate >= 0.4);
    assert!(good, "a figure is worse than it may be");
}
