//! Measures what docs/performance.md prints of cold starts: from the variables to a pool that has the secrets of 50
//! keys, with each secret store, each time in a process of its own.
//!
//! `cargo xtask bench cold_start` brings the stores' servers.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a report for people; it fails aloud")]

use std::path::Path;
use std::process::Command;

use keyrot::{Clock, Environment, Settings, SystemClock};
use keyrot_e2e::world::MODEL;
use keyrot_test_servers::moto::CREDENTIALS;
use keyrot_test_servers::{Azure, Moto, OpenBao, new_home};
use serde_json::json;
use tokio::runtime::Runtime;

const KEYS: usize = 50;
/// Of so many starts the median counts.
const STARTS: usize = 9;
/// The argument of a process that is measured.
const ONE_START: &str = "one-start";

/// A store that is ready to be started on.
struct Store {
    name: &'static str,
    vars: Vec<(String, String)>,
    /// Requests that have reached the server so far.
    requests: Box<dyn Fn() -> usize>,
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == ONE_START) {
        return one_start();
    }
    if !arguments.iter().all(|filter| "cold_start".contains(filter.as_str())) {
        return;
    }
    println!("cold start with {KEYS} keys, median of {STARTS} processes:\n");
    println!("| store | until the secrets are there | requests | memory at the start | memory after it |");
    println!("|---|---|---|---|---|");
    let runtime = Runtime::new().expect("a runtime");
    let served = [runtime.block_on(vault()), runtime.block_on(aws()), azure(&runtime)];
    for store in [env()].into_iter().chain(served) {
        measure(&store);
    }
}

fn env() -> Store {
    let secret = |number| (format!("GEMINI_KEY_{}", id(number)), secret(number));
    let chosen = ("SECRET_STORE_TYPE".to_owned(), "env".to_owned());
    Store { name: "env", vars: (0..KEYS).map(secret).chain([chosen]).collect(), requests: Box::new(|| 0) }
}

async fn vault() -> Store {
    let server = OpenBao::dev().await;
    for number in 0..KEYS {
        let (path, value) = (format!("secret/algoagent/{}", id(number)), format!("value={}", secret(number)));
        server.bao(["kv", "put", &path, &value]).await;
    }
    let vars =
        [("SECRET_STORE_TYPE", "vault"), ("VAULT_ADDR", server.address()), ("VAULT_TOKEN", server.token())];
    Store {
        name: "vault",
        vars: vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        requests: Box::new(move || server.requests("", "")),
    }
}

async fn aws() -> Store {
    let server = Moto::start().await;
    for number in 0..KEYS {
        let (name, secret) = (format!("algoagent/{}", id(number)), secret(number));
        server.aws(["secretsmanager", "create-secret", "--name", &name, "--secret-string", &secret]).await;
    }
    let chosen = [("SECRET_STORE_TYPE", "aws"), ("AWS_ENDPOINT_URL", server.url())];
    let vars = CREDENTIALS.into_iter().chain(chosen);
    Store {
        name: "aws",
        vars: vars.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        requests: Box::new(move || server.requests()),
    }
}

fn azure(runtime: &Runtime) -> Store {
    let server = runtime.block_on(Azure::start());
    for number in 0..KEYS {
        runtime.block_on(server.put(&id(number).replace('_', "-"), &secret(number)));
    }
    let chosen = ("SECRET_STORE_TYPE", "azure".to_owned());
    let vars = server.variables().into_iter().chain([chosen]).map(|(name, value)| (name.to_owned(), value));
    let (vars, handle) = (vars.collect(), runtime.handle().clone());
    let requests = move || {
        let counts = handle.block_on(server.counts());
        counts.vault + counts.logins
    };
    Store { name: "azure", vars, requests: Box::new(requests) }
}

fn id(number: usize) -> String {
    format!("flash_{number:02}")
}

fn secret(number: usize) -> String {
    format!("AIzaSy-secret-of-{number:02}")
}

fn measure(store: &Store) {
    let home = new_home();
    let entries: Vec<_> =
        (0..KEYS).map(|number| json!({"key_id": id(number), "model_name": MODEL})).collect();
    let keys = json!({"keys": entries}).to_string();
    std::fs::write(home.path().join("keys.json"), keys).expect("a file in a temporary folder");
    let before = (store.requests)();
    let mut starts: Vec<[f64; 3]> = (0..STARTS).map(|_| start(store, home.path())).collect();
    let requests = (store.requests)() - before;
    starts.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let [ms, memory_before, memory_after] = starts[STARTS / 2];
    let requests = requests as f64 / STARTS as f64;
    println!(
        "| `{}` | {ms:.1} ms | {requests:.1} | {memory_before:.1} MB | {memory_after:.1} MB |",
        store.name
    );
}

/// The three numbers that a new process prints.
fn start(store: &Store, folder: &Path) -> [f64; 3] {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg(ONE_START).current_dir(folder).env_clear();
    command.env("ENABLE_KEY_ROTATION", "true").envs(store.vars.iter().cloned());
    let output = command.output().expect("this program again");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    numbers.try_into().expect("three numbers")
}

/// What is measured: a program's start, as far as keyrot is concerned.
fn one_start() {
    let before = memory_mb();
    let began = SystemClock.now();
    let runtime = Runtime::new().expect("a runtime");
    let opened = runtime.block_on(async {
        let environment = Environment::read(None).expect("the variables can be read");
        Settings::from_environment(environment).expect("good settings").open().await.expect("a pool")
    });
    let took = SystemClock.now() - began;
    assert!(opened.without_secret.is_empty(), "{:?}", opened.without_secret);
    println!("{} {before} {}", took.as_secs_f64() * 1000.0, memory_mb());
}

/// The most that this process has held so far.
fn memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak of the memory");
    let kb: f64 = line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number");
    kb / 1024.0
}
