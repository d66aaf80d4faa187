//! A pool on a clock that tests move.

use std::future::Future;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{Blame, Effect, KeyId, KeyMetadata, KeyPool, KeySet, ManualClock, MemoryStore, Outcome};

pub(crate) struct Sim {
    pub(crate) pool: KeyPool,
    pub(crate) clock: ManualClock,
    secrets: MemoryStore,
}

impl Sim {
    pub(crate) fn of(keys: impl IntoIterator<Item = KeyMetadata>) -> Self {
        let (clock, secrets) = (ManualClock::default(), MemoryStore::default());
        let mut set = KeySet::default();
        for key in keys {
            set.upsert(key).unwrap();
        }
        let pool =
            KeyPool::builder(set.clone()).secrets(secrets.clone()).clock(clock.clone()).seed(7).build();
        let sim = Self { pool, clock, secrets };
        set.iter().for_each(|key| sim.put_secret(key.key_id.as_str()));
        sim
    }

    pub(crate) fn put_secret(&self, id: &str) {
        self.secrets.put(&KeyId::parse(id).unwrap(), SecretString::from(format!("secret-of-{id}")));
    }

    /// Runs a future, moving the clock whenever it waits for it.
    pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = std::future::ready(()) => assert!(self.clock.advance_to_next_sleeper(), "stuck"),
            }
        }
    }
}

pub(crate) fn key(id: &str, project: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "gemini-2.5-flash").with_project(project)
}

pub(crate) fn outcome(blame: Blame, effect: Effect) -> Outcome {
    Outcome::new(blame, effect, effect.name())
}
