//! The simulator's rules, on the engine in virtual time and over HTTP.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod client;
mod command;
mod control;
mod faults;
mod google;
mod http;
mod quota;
mod streams;

use gemini_sim::{Call, Config, Engine, Limits, Project, Reply, Ruling, Verdict, Window};
use serde_json::Value;

pub(crate) const NOON: u64 = 1_767_614_400_000; // 2026-01-05T12:00:00Z, a full minute
pub(crate) const MODEL: &str = "gemini-3.8-flash";
pub(crate) const PROMPT: &str = "Buy when RSI < 30, sell when RSI > 70";

pub(crate) fn config(limits: Limits) -> Config {
    Config::default()
        .project(Project::new("alpha").key("a1", "secret-a1").key("a2", "secret-a2").limit(MODEL, limits))
        .project(Project::new("beta").key("b1", "secret-b1").limit("*", limits))
}

pub(crate) fn engine(config: Config) -> Engine {
    Engine::new(config, 7, NOON).unwrap()
}

pub(crate) fn limited(limits: Limits, window: Window) -> Engine {
    engine(config(limits).window(window))
}

pub(crate) fn call(secret: &str) -> Call<'_> {
    Call::generate(secret, MODEL, PROMPT)
}

pub(crate) fn status(engine: &mut Engine, now_ms: u64, secret: &str) -> Option<u16> {
    engine.arrive(now_ms, &call(secret)).status()
}

pub(crate) fn rulings(engine: &Engine) -> Vec<Ruling> {
    engine.attempts().map(|attempt| attempt.verdict).collect()
}

pub(crate) fn error(verdict: &Verdict) -> Value {
    let Reply::Refused(refusal) = &verdict.reply else { panic!("{verdict:?} is no refusal") };
    let body: Value = serde_json::from_str(&refusal.body).unwrap();
    assert_eq!(body["error"]["code"], refusal.status);
    body["error"].clone()
}

pub(crate) fn detail<'a>(error: &'a Value, kind: &str) -> &'a Value {
    let name = format!("type.googleapis.com/google.rpc.{kind}");
    error["details"].as_array().unwrap().iter().find(|detail| detail["@type"] == name.as_str()).unwrap()
}
