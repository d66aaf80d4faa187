//! What a pool offers to a limiter that takes several groups in one question.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    AcquireError, Ask, Blame, Candidate, Effect, Group, KeyId, KeyLease, KeyMetadata, KeyPool, KeyRequest,
    KeySet, LimiterError, Limits, LocalLimiter, ManualClock, MemoryStore, Outcome, ProjectId, RateLimiter,
    Reserved, Scope, SettleBatch, Settled, Snapshot, Usage,
};

const MODEL: &str = "gemini-2.5-flash";

/// The books of a process as if they were far away.
#[derive(Clone, Debug)]
struct Far {
    books: LocalLimiter,
    at_once: usize,
    /// The projects of each question that asked for something.
    offered: Arc<Mutex<Vec<Vec<String>>>>,
}

#[async_trait]
impl RateLimiter for Far {
    async fn reserve(&self, of: &[Candidate], asks: &[Ask], seen: u64) -> Result<Reserved, LimiterError> {
        if !asks.is_empty() {
            self.offered.lock().unwrap().push(of.iter().map(|one| one.group.project.to_string()).collect());
        }
        self.books.reserve(of, asks, seen).await
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.books.settle(batch).await
    }

    async fn snapshot(&self, a: &[Candidate], b: &[Scope], c: &[KeyId]) -> Result<Snapshot, LimiterError> {
        self.books.snapshot(a, b, c).await
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        self.books.reset(scope).await
    }

    fn candidates_at_once(&self) -> usize {
        self.at_once
    }
}

struct Bench {
    pool: KeyPool,
    far: Far,
    clock: ManualClock,
    secrets: MemoryStore,
}

impl Bench {
    async fn of(keys: impl IntoIterator<Item = KeyMetadata>, at_once: usize) -> Self {
        let (clock, secrets) = (ManualClock::default(), MemoryStore::default());
        let mut set = KeySet::default();
        for key in keys {
            secrets.put(&key.key_id, SecretString::from("secret"));
            set.upsert(key).unwrap();
        }
        let books = LocalLimiter::new(Arc::new(clock.clone()));
        let far = Far { books, at_once, offered: Arc::default() };
        let pool = KeyPool::builder(set).secrets(secrets.clone()).clock(clock.clone()).seed(7);
        let pool = pool.limiter(Arc::new(far.clone())).build();
        assert!(pool.load_secrets().await.is_empty());
        Self { pool, far, clock, secrets }
    }

    async fn acquire(&self) -> Result<KeyLease, AcquireError> {
        self.pool.acquire(&KeyRequest::model(MODEL)).await
    }

    /// Another process takes all that these projects have in a minute.
    async fn spend(&self, projects: impl Iterator<Item = usize>) {
        for number in projects {
            let group = Group { project: ProjectId::from(project(number).as_str()), model: MODEL.into() };
            let candidate = Candidate {
                group: Arc::new(group),
                limits: one_a_minute(),
                key: KeyId::parse("other").unwrap(),
            };
            let ask = Ask { tokens: 1, probe_ttl: Duration::ZERO };
            let reply = self.far.books.reserve(&[candidate], &[ask], u64::MAX).await.unwrap();
            assert_eq!(reply.grants.len(), 1);
        }
    }

    fn questions(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.far.offered.lock().unwrap())
    }
}

fn project(number: usize) -> String {
    format!("p{number:02}")
}

fn one_a_minute() -> Limits {
    Limits::new(Some(1), None, None)
}

fn key(number: usize) -> KeyMetadata {
    let id = KeyId::parse(&format!("key_{number:02}")).unwrap();
    KeyMetadata::new(id, MODEL).with_project(project(number).as_str()).with_limits(one_a_minute())
}

#[tokio::test]
async fn one_question_finds_the_only_group_of_16_with_room() {
    let bench = Bench::of((0..16).map(key), 16).await;
    bench.spend(0..15).await;
    let lease = bench.acquire().await.unwrap();
    assert_eq!(lease.project().as_str(), project(15));
    let questions = bench.questions();
    assert_eq!(questions.len(), 1, "{questions:?}");
    let each: BTreeSet<_> = questions[0].iter().cloned().collect();
    assert!(
        each.contains(&project(15)) && each.len() == questions[0].len(),
        "each group once: {questions:?}"
    );
    lease.begin().unwrap().succeeded(Usage::input(1)).await;

    // what was refused on the way is known; nobody is asked for it again
    let Err(AcquireError::Exhausted(told)) = bench.acquire().await else { panic!("nothing is left") };
    let again: usize = bench.questions().iter().map(Vec::len).sum();
    assert!(again < 16, "{again} candidates");
    bench.clock.advance(told.retry_after.unwrap());
    assert!(bench.acquire().await.is_ok());
}

#[tokio::test]
async fn forty_full_groups_cost_three_questions() {
    let bench = Bench::of((0..40).map(key), 16).await;
    bench.spend(0..40).await;
    let Err(AcquireError::Exhausted(told)) = bench.acquire().await else { panic!("nothing is left") };
    let sizes: Vec<_> = bench.questions().iter().map(Vec::len).collect();
    assert_eq!(sizes, [16, 16, 8]);
    assert_eq!(told.counts.values().sum::<usize>(), 40, "every key has its reason: {told:?}");
}

#[tokio::test]
async fn a_limiter_that_is_near_is_asked_for_one_group_at_a_time() {
    let bench = Bench::of((0..4).map(key), 1).await;
    bench.spend(0..3).await;
    drop(bench.acquire().await.unwrap());
    assert!(bench.questions().iter().all(|offered| offered.len() == 1));
}

#[tokio::test]
async fn better_priorities_come_first_and_siblings_once() {
    let mut keys: Vec<_> = (0..6).map(key).collect();
    for (number, key) in keys.iter_mut().enumerate() {
        key.priority = if number < 3 { 0 } else { 5 };
    }
    let mut sibling = key(9).with_project(project(0).as_str());
    sibling.priority = 5;
    keys.push(sibling);
    for _ in 0..20 {
        let bench = Bench::of(keys.clone(), 16).await;
        drop(bench.acquire().await.unwrap());
        let questions = bench.questions();
        let offered = &questions[0];
        let (best, rest): (BTreeSet<_>, BTreeSet<_>) =
            (offered[..3].iter().cloned().collect(), offered[3..].iter().cloned().collect());
        assert_eq!(best, (0..3).map(project).collect());
        assert_eq!(rest, (3..6).map(project).collect());
        assert_eq!(offered.len(), 6, "{offered:?}");
    }
}

#[tokio::test]
async fn what_a_call_has_tried_is_not_offered_to_it_again() {
    let bench = Bench::of((0..4).map(key), 16).await;
    let mut call = bench.pool.call(&KeyRequest::model(MODEL));
    let mut sent = BTreeSet::new();
    for _ in 0..4 {
        let lease = call.next().await.unwrap();
        let offered = bench.questions().concat();
        assert!(offered.iter().all(|project| !sent.contains(project)), "{offered:?} after {sent:?}");
        sent.insert(lease.project().to_string());
        let busy = Outcome::new(Blame::ProjectModel, Effect::Cooldown, "429");
        call.failed(lease, &busy).await;
    }
    assert_eq!(sent.len(), 4);
}

#[tokio::test]
async fn a_key_without_a_held_secret_is_not_offered_beside_others() {
    let bench = Bench::of((0..3).map(key), 16).await;
    let (cold, secret) = (key(7), SecretString::from("secret"));
    bench.secrets.put(&cold.key_id, secret);
    let cold_project = cold.project.clone().unwrap();
    bench.pool.upsert(cold).unwrap();
    for _ in 0..4 {
        drop(bench.acquire().await.unwrap());
        let questions = bench.questions();
        let place = questions[0].iter().position(|project| *project == *cold_project.as_str());
        assert!(place.is_none_or(|place| place == 0), "its secret was read first: {questions:?}");
        if place == Some(0) {
            return;
        }
    }
    panic!("it is chosen once in four");
}

#[tokio::test]
async fn a_probe_goes_alone() {
    let bench = Bench::of((0..3).map(key), 16).await;
    let lease = bench.acquire().await.unwrap().begin().unwrap();
    let rejected = lease.key_id().clone();
    lease.report(Outcome::new(Blame::Key, Effect::KeyRejected, "401")).await;
    bench.clock.advance(Duration::from_secs(120));
    bench.questions();
    let probed = bench.pool.keys().get(rejected.as_str()).unwrap().project.clone().unwrap();
    for _ in 0..20 {
        drop(bench.acquire().await.unwrap());
        for offered in bench.questions() {
            let probing = offered.iter().any(|project| *project == *probed.as_str());
            assert!(!probing || offered.len() == 1, "{offered:?}");
        }
    }
}
