//! The outcome table of docs/failover.md against a pool: what rests, for how long, and under which name.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    ActiveLease, Blame, Blocked, Clock, Effect, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, ManualClock,
    MemoryStore, Outcome, Usage,
};
use keyrot_e2e::docs::{code_words, page};

const MODEL: &str = "gemini-2.5-flash";

/// Two keys in two projects.
struct Two {
    pool: KeyPool,
    clock: ManualClock,
}

impl Two {
    fn new() -> Self {
        let (clock, secrets) = (ManualClock::default(), MemoryStore::default());
        let mut keys = KeySet::default();
        for id in ["bad", "good"] {
            let key = KeyId::parse(id).unwrap();
            secrets.put(&key, SecretString::from("the-secret"));
            keys.upsert(KeyMetadata::new(key, MODEL)).unwrap();
        }
        let pool = KeyPool::builder(keys).secrets(secrets).clock(clock.clone()).seed(3).build();
        Self { pool, clock }
    }

    /// Sends a call with this key.
    async fn send(&self, id: &str) -> ActiveLease {
        let request = KeyRequest::model(MODEL).pinned_to(id.into());
        self.pool.acquire(&request).await.unwrap().begin().unwrap()
    }

    /// `bad` fails while `good` works; what keeps `bad` from serving then.
    async fn fail(&self, outcome: Outcome) -> Option<Blocked> {
        let failing = self.send("bad").await;
        self.clock.advance(Duration::from_millis(1));
        self.send("good").await.succeeded(Usage::default()).await;
        failing.report(outcome).await;
        let explanation = self.pool.explain(&KeyRequest::model(MODEL)).await.unwrap();
        assert_eq!(explanation.selectable.iter().filter(|id| id.as_str() == "good").count(), 1);
        explanation.blocked.into_iter().find(|blocked| blocked.key_id.as_str() == "bad")
    }
}

/// Each effect with whom the classifier blames in the first case that the table names.
const CASES: [(Effect, Blame); 11] = [
    (Effect::Success, Blame::Service),
    (Effect::Cooldown, Blame::ProjectModel),
    (Effect::UntilPacificMidnight, Blame::ProjectModel),
    (Effect::NoQuota, Blame::ProjectModel),
    (Effect::KeyRejected, Blame::Key),
    (Effect::ProjectRejected, Blame::Project),
    (Effect::OutOfCredit, Blame::Project),
    (Effect::ModelMissing, Blame::Model),
    (Effect::Overload, Blame::Model),
    (Effect::Transient, Blame::Service),
    (Effect::Fail, Blame::Caller),
];

#[tokio::test]
async fn the_outcome_table_says_what_the_pool_does() {
    let rows = page("docs/failover.md").table("The outcome table");
    assert_eq!(rows.len(), CASES.len());
    for (effect, blame) in CASES {
        let name = effect.name();
        let row = rows.iter().find(|row| row[0].contains(&format!("`{name}`"))).expect("a row");
        let (scope, span, shown) = (&row[2], &row[3], code_words(&row[4]));
        let two = Two::new();
        let Some(blocked) = two.fail(Outcome::new(blame, effect, "said by the test")).await else {
            assert!(scope.starts_with("nothing"), "{name}: nothing rests, the table says {scope}");
            continue;
        };
        assert!(shown.contains(&blocked.reason.name()), "{name}: shown as {}", blocked.reason);
        let rests = match blocked.scope.kind() {
            "project_model" => "(project, model)",
            "project" => "the project",
            "key" => "the key",
            other => panic!("{name}: {other} rests"),
        };
        assert!(scope.contains(rests), "{name}: {rests} rests, the table says {scope}");
        let left = blocked.until.unwrap().duration_since(two.clock.wall()).unwrap().as_secs_f64();
        let day = 24.0 * 3600.0;
        let stated = match () {
            () if span.contains("midnight") => 0.0..=day + 3600.0,
            () if span.contains("schedule") => 29.9..=33.0,
            () if span.contains("24 h") => day - 1.0..=day,
            () => panic!("{name}: the table names no time: {span}"),
        };
        assert!(stated.contains(&left), "{name}: {left} s, the table says {span}");
    }
}
