//! What a pool tells by `tracing`: its spans, and what it has noticed.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Ask, Blame, Candidate, Effect, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, LearnedLimit,
    LimiterError, Limits, LocalLimiter, ManualClock, MemoryStore, Outcome, Quota, RateLimiter, Reserved,
    Scope, SettleBatch, Settled, Snapshot, Usage,
};
use keyrot_testkit::Captured;

const MODEL: &str = "gemini-2.5-flash";

/// Says what it is asked.
#[derive(Debug)]
struct Talking(LocalLimiter);

#[async_trait]
impl RateLimiter for Talking {
    async fn reserve(&self, of: &[Candidate], asks: &[Ask], seen: u64) -> Result<Reserved, LimiterError> {
        tracing::info!("the limiter is asked");
        self.0.reserve(of, asks, seen).await
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        tracing::info!("the limiter is told");
        self.0.settle(batch).await
    }

    async fn snapshot(
        &self,
        of: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        self.0.snapshot(of, scopes, keys).await
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        self.0.reset(scope).await
    }
}

/// A pool of one key of this id, five requests a day.
fn pool(id: &str) -> KeyPool {
    let (clock, secrets) = (ManualClock::default(), MemoryStore::default());
    let id = KeyId::parse(id).unwrap();
    secrets.put(&id, SecretString::from("the-secret"));
    let mut keys = KeySet::default();
    keys.upsert(KeyMetadata::new(id, MODEL).with_limits(Limits::new(None, None, Some(5)))).unwrap();
    let limiter = Talking(LocalLimiter::new(Arc::new(clock.clone())));
    KeyPool::builder(keys).secrets(secrets).clock(clock).limiter(Arc::new(limiter)).build()
}

#[tokio::test]
async fn what_the_limiter_does_is_inside_the_spans_that_are_documented() {
    let log = Captured::begin();
    let call = pool("spanned").acquire(&KeyRequest::model(MODEL).tokens(70)).await.unwrap().begin().unwrap();
    call.succeeded(Usage::input(60)).await;
    let text = log.text();
    let asked = format!(
        "keyrot.acquire{{gen_ai.request.model=\"{MODEL}\" tokens=70}}:keyrot.reserve{{candidates=1}}: logged: the limiter is asked"
    );
    assert!(text.contains(&asked), "{text}");
    assert!(text.contains("keyrot.settle{settlements=1 verdicts=0}: logged: the limiter is told"), "{text}");
}

/// Whoever has set a lower limit than the provider's is refused only if others use the same quota.
#[tokio::test]
async fn a_refusal_that_names_more_than_keys_json_is_told() {
    let log = Captured::begin();
    let pool = pool("shared");
    for value in [4, 5, 60] {
        let call = pool.acquire(&KeyRequest::model(MODEL)).await.unwrap().begin().unwrap();
        let learned = LearnedLimit { quota: Quota::RequestsPerDay, value: Some(value) };
        call.report(Outcome::new(Blame::Caller, Effect::Fail, "refused").learned(Some(learned))).await;
    }
    let text = log.text();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("the provider allows more")).collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].contains("key_id=\"shared\"") && told[0].contains("stated=5 allowed=60"), "{told:?}");
}
