//! What the pool asks of its limiter, where the number of questions is the contract.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Ask, Blame, Candidate, Effect, Grant, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, LimiterError,
    ManualClock, MemoryStore, Outcome, RateLimiter, Reservation, Reserved, Scope, SettleBatch, Settled,
    Snapshot, Usage,
};
use mockall::mock;

mock! {
    #[derive(Debug)]
    Limiter {}

    #[async_trait]
    impl RateLimiter for Limiter {
        async fn reserve(&self, candidates: &[Candidate], asks: &[Ask], seen: u64) -> Result<Reserved, LimiterError>;
        async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError>;
        async fn snapshot(&self, groups: &[Candidate], scopes: &[Scope], keys: &[KeyId]) -> Result<Snapshot, LimiterError>;
        async fn reset(&self, scope: &Scope) -> Result<(), LimiterError>;
    }
}

/// A pool of two keys on a limiter that grants once and is told once what became of it.
fn asked_once_and_told_once() -> KeyPool {
    let mut limiter = MockLimiter::new();
    limiter.expect_reserve().times(1).returning(|candidates, asks, _| {
        let group = Arc::clone(&candidates[0].group);
        let reservation = Reservation::new(group, 1, asks[0].tokens, 1_000, 1, false);
        let grants = vec![Grant { ask: 0, candidate: 0, reservation, send_by: 501 }];
        Ok(Reserved { now: 1, grants, ..Reserved::default() })
    });
    limiter.expect_settle().times(1).returning(|batch| {
        assert_eq!(batch.settlements.len(), 1);
        Ok(Settled { now: 2, ..Settled::default() })
    });
    let (secrets, mut keys) = (MemoryStore::default(), KeySet::default());
    for id in ["a", "b"] {
        let key = KeyMetadata::new(KeyId::parse(id).unwrap(), "gemini-2.5-flash");
        secrets.put(&key.key_id, SecretString::from("a-secret"));
        keys.upsert(key).unwrap();
    }
    KeyPool::builder(keys).secrets(secrets).clock(ManualClock::default()).limiter(Arc::new(limiter)).build()
}

#[tokio::test]
async fn a_success_is_settled_exactly_once() {
    let pool = asked_once_and_told_once();
    let done = pool.run(&KeyRequest::any(), async |_| Ok::<_, Outcome>(((), Usage::input(7)))).await;
    assert_eq!(done.unwrap().attempts.len(), 1);
}

#[tokio::test]
async fn after_the_callers_own_fault_no_second_key_is_asked_for() {
    let pool = asked_once_and_told_once();
    let fault = Outcome::new(Blame::Caller, Effect::Fail, "a bad field");
    let error =
        pool.run(&KeyRequest::any(), async |_| Err::<((), Usage), _>(fault.clone())).await.unwrap_err();
    assert_eq!(error.attempts.len(), 1);
}
