//! Keys that serve whatever model is asked for: a model is taken on when the first request names it.

use crate::key::{Limits, ModelName};
use crate::pool::KeyPool;
use crate::request::KeyRequest;

/// More names than any provider has models: beyond them somebody sends junk, which must not fill the memory.
const MOST_MODELS: usize = 100;

impl KeyPool {
    /// If the keys serve any model, those of this request become models of every key.
    pub(crate) fn take_on_models(&self, request: &KeyRequest) {
        if !self.inner.any_model {
            return;
        }
        let mut shared = self.lock();
        let known = &shared.state.model_index;
        let mut new: Vec<ModelName> = request.model.iter().chain(&request.fallback_models).cloned().collect();
        new.retain(|model| !known.contains_key(model));
        if new.is_empty() || known.len() + new.len() > MOST_MODELS {
            return;
        }
        let mut keys = shared.keys.clone();
        for mut key in shared.keys.iter().cloned() {
            key.models.extend(new.iter().map(|model| (model.clone(), Limits::default())));
            if let Err(error) = keys.upsert(key) {
                tracing::warn!(%error, "a model cannot be taken on");
                return;
            }
        }
        self.put_keys(&mut shared, keys);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::SecretString;

    use super::*;
    use crate::{AcquireError, Blame, Effect, KeyId, KeySet, ManualClock, MemoryStore, Outcome};

    fn pool(any: bool) -> KeyPool {
        let secrets = MemoryStore::default();
        secrets.put(&KeyId::parse("default").unwrap(), SecretString::from("the-secret"));
        KeyPool::builder(KeySet::single("own"))
            .secrets(secrets)
            .clock(ManualClock::default())
            .any_model(any)
            .build()
    }

    #[tokio::test]
    async fn a_key_of_any_model_serves_what_is_asked_and_its_own_to_those_who_name_none() {
        let pool = pool(true);
        for (request, model) in [
            (KeyRequest::model("other"), "other"),
            (KeyRequest::any(), "own"),
            (KeyRequest::model("own").fallback("third"), "own"),
        ] {
            assert_eq!(pool.acquire(&request).await.unwrap().model().as_str(), model);
        }
        assert_eq!(pool.explain(&KeyRequest::model("third")).await.unwrap().selectable.len(), 1);
        assert_eq!(pool.explain(&KeyRequest::model("new")).await.unwrap().selectable.len(), 1);
    }

    #[tokio::test]
    async fn a_model_that_is_taken_on_leaves_the_blocks_of_the_others() {
        let pool = pool(true);
        let outcome = Outcome::new(Blame::ProjectModel, Effect::Cooldown, "429")
            .retry_after(Some(Duration::from_secs(10)));
        pool.acquire(&KeyRequest::any()).await.unwrap().begin().unwrap().report(outcome).await;
        drop(pool.acquire(&KeyRequest::model("other")).await.unwrap());
        assert!(matches!(pool.acquire(&KeyRequest::any()).await, Err(AcquireError::Exhausted(_))));
    }

    #[tokio::test]
    async fn other_pools_take_on_nothing_and_none_takes_on_junk_without_end() {
        let refused = pool(false).acquire(&KeyRequest::model("other")).await;
        assert!(matches!(refused, Err(AcquireError::NoMatch { .. })), "{refused:?}");
        let pool = pool(true);
        for number in 0..200 {
            let served = pool.acquire(&KeyRequest::model(&*format!("m{number}"))).await.is_ok();
            assert_eq!(served, number < MOST_MODELS - 1, "{number}");
        }
    }
}
