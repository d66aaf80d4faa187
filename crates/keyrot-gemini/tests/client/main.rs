//! The client against servers that behave as Gemini does, and worse.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod leaks;
mod limits;
mod networks;
mod pooled;
mod schemas;
mod scripted;
mod streams;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{Blame, Classify, Effect};
use keyrot_gemini::{Gemini, GeminiError, GeminiErrorKind, GenerateRequest};

const SECRET: &str = "AIzaSyFAKE-sentinel-0000000000000000000";

fn secret() -> SecretString {
    SecretString::from(SECRET)
}

fn client(url: &str) -> Gemini {
    Gemini::builder().base_url(url).build().unwrap()
}

fn hello() -> GenerateRequest {
    GenerateRequest::user("hello")
}

#[track_caller]
fn expect_error(error: &GeminiError, kind: GeminiErrorKind, blame: Blame, effect: Effect) {
    let outcome = error.outcome();
    assert_eq!((error.kind(), outcome.blame, outcome.effect), (kind, blame, effect), "{error}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("sentinel") && !error.to_string().contains('\n'), "{shown}");
}
