//! Whatever the provider answers, and whatever the pool makes of it.

use std::error::Error;
use std::time::Duration;

use futures_util::future::join_all;
use gemini_sim::{Config, Fault, FaultKind, Operation, Project};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyRequest, KeySet, MemoryStore};
use keyrot_e2e::over_http::Service;
use keyrot_e2e::world::{MODEL, entry, key_set};
use keyrot_testkit::Captured;
use keyrot_testkit::leak::assert_absent;
use serde_json::Value;

use crate::SENTINELS;

/// Two keys in two projects, with the sentinels as their secrets.
pub(crate) fn keys() -> (Config, KeySet, MemoryStore) {
    let (ids, mut config, secrets) = (["first", "second"], Config::default(), MemoryStore::default());
    let keys = key_set(ids.map(|id| entry(id, id)));
    for (key, secret) in keys.iter().zip(SENTINELS) {
        config = config.project(Project::new(key.key_id.as_str()).key(key.key_id.as_str(), secret));
        secrets.put(&key.key_id, SecretString::from(secret));
    }
    (config, keys, secrets)
}

/// Calls in every way against a provider with this trouble, and looks at all that comes of it.
async fn assert_nothing_leaks(trouble: FaultKind) {
    let (config, keys, secrets) = keys();
    let service = Service::with_secrets(config.fault(Fault::new(trouble)), &keys, secrets, 7).await;
    let request = KeyRequest::model(MODEL).within(Duration::from_millis(50));
    let mut shown = String::new();
    for operation in [Operation::Generate, Operation::Stream] {
        if let Err(error) = service.call(&request, operation).await {
            shown += &everything_of(&error);
        }
    }
    for secret in SENTINELS.map(SecretString::from) {
        if let Err(error) = service.gemini.client().models(&secret).await {
            shown += &everything_of(&error);
        }
    }
    let pool = service.gemini.pool();
    let explained = pool.explain(&request).await;
    shown += &format!("{pool:?} {:?} {:#?} {explained:#?}", service.gemini, pool.health());
    shown += &format!("{:?} {:?} {:?}", pool.usage().await, pool.keys(), pool.acquire(&request).await);
    shown += &format!("{:?}", service.server.attempts());
    assert_absent(&shown, &SENTINELS);
}

/// An error in every form that somebody might print, and its causes.
fn everything_of(error: &(dyn Error + 'static)) -> String {
    let causes = error.source().map(everything_of).unwrap_or_default();
    format!("{error}\n{error:?}\n{error:#?}\n{causes}")
}

/// Fails if a sentinel was logged, or nothing at all.
fn assert_clean(log: &Captured) {
    let text = log.text();
    assert!(text.contains("keyrot.attempt"), "the log was not captured: {text}");
    assert_absent(&text, &SENTINELS);
}

#[tokio::test]
async fn no_fault_of_the_provider_shows_a_secret() {
    let log = Captured::begin();
    use FaultKind::*;
    let faults = [
        KeyInvalid,
        KeyExpired,
        KeyLeaked,
        KeySuspended,
        KeyIpBlocked,
        Unauthenticated,
        ProjectDenied,
        ServiceDisabled,
        OutOfCredit,
        LocationUnsupported,
        Quota { retry_after_s: 30.0 },
        QuotaDay,
        QuotaBare,
        Overloaded,
        Internal,
        DeadlineExceeded,
        Cut,
        CutMidStream,
        StreamErrorEvent { code: 503 },
        StreamErrorTail { code: 429 },
        SafetyBlock,
        SafetyStop,
        Truncate,
        BadCode,
    ];
    join_all(faults.map(assert_nothing_leaks)).await;
    assert_clean(&log);
}

/// Every documented error, as it is and with a key echoed in its words.
#[tokio::test]
async fn no_documented_error_shows_a_secret() {
    let log = Captured::begin();
    let cases = include_str!("../../../crates/keyrot-gemini/tests/gemini-errors.json");
    let cases: Value = serde_json::from_str(cases).unwrap();
    let mut calls = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let status = u16::try_from(case["http_status"].as_u64().unwrap()).unwrap();
        let body = case["body"].as_str().unwrap();
        for secret in SENTINELS {
            let echo = body.replace("AIzaSyFAKE-sentinel-0000000000000000000", secret);
            for start in ["\"message\": \"", "\"reason\": \"", "<html>", "\"consumer\": \""] {
                let echo = echo.replace(start, &format!("{start}{secret} "));
                let verbatim = FaultKind::Verbatim { status, body: echo, content_type: None };
                calls.push(assert_nothing_leaks(verbatim));
            }
        }
    }
    join_all(calls).await;
    assert_clean(&log);
}

#[tokio::test]
async fn a_provider_that_is_gone_shows_no_secret() {
    let log = Captured::begin();
    let (config, keys, secrets) = keys();
    let Service { server, gemini } = Service::with_secrets(config, &keys, secrets, 7).await;
    server.stop().await;
    let request = KeyRequest::model(MODEL).within(Duration::from_millis(50));
    let body = keyrot_gemini::GenerateRequest::user("Hello");
    let errors = [
        gemini.generate(&request, &body).await.map(drop).unwrap_err(),
        gemini.stream(&request, &body).await.map(drop).unwrap_err(),
    ];
    let shown: String = errors.iter().map(|error| everything_of(error)).collect();
    assert_absent(&shown, &SENTINELS);
    assert_absent(&format!("{:#?}", gemini.pool().health()), &SENTINELS);
    assert_clean(&log);
}
