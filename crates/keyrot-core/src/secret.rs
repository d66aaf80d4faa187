//! Where secrets come from: a store that knows how to find the secret of a key.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::concurrent::a_few_at_a_time;
use crate::error::ConfigError;
use crate::key::KeyMetadata;
use crate::keyset::KeySet;
use crate::secret_error::{SecretError, SecretErrorKind};

/// A place that holds one secret for each key.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// Where this store looks for the key's secret, for messages: `env:GEMINI_KEY_flash_01`. Pure.
    fn locator(&self, key: &KeyMetadata) -> String;

    /// Refuses keys whose names this store cannot hold or cannot tell apart. Asks nobody. Entries that share a
    /// secret say so by the same explicit `secret`.
    ///
    /// # Errors
    /// Each name with its key and what is allowed; each pair of ids that leads to one secret.
    fn check(&self, _keys: &KeySet) -> Result<(), ConfigError> {
        Ok(())
    }

    /// The secret as it is now, without white space around it.
    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError>;

    /// The secrets of these keys, one result for each in the same order: a few at a time, unless the store can read
    /// several in one call. A store that did not answer in time is not asked for the rest: however many keys there
    /// are, one that hangs is told after the time of one read.
    async fn fetch_all(&self, keys: &[KeyMetadata]) -> Vec<Result<SecretString, SecretError>> {
        let unanswered = &OnceLock::<SecretError>::new();
        let fetch = |key| async move {
            if let Some(first) = unanswered.get() {
                let message = format!("not asked for, since there was no answer for another: {first}");
                return Err(SecretError::new(first.kind(), self.locator(key), message));
            }
            let fetched = self.fetch(key).await;
            if let Err(error) = &fetched
                && error.kind() == SecretErrorKind::TimedOut
            {
                let _ = unanswered.set(error.clone()); // the first one is told
            }
            fetched
        };
        a_few_at_a_time(keys.iter().collect(), fetch).await
    }

    /// When the secret that [`fetch`](Self::fetch) gives was written. `None`: the store does not know.
    async fn written_at(&self, _key: &KeyMetadata) -> Result<Option<SystemTime>, SecretError> {
        Ok(None)
    }
}

/// A store that can be written to.
#[async_trait]
pub trait SecretWriter: SecretStore {
    /// Why [`put`](Self::put) would be refused for this key, as far as the store knows without asking anybody: a
    /// variable of the process, which nobody can change from outside. `None`: nothing is known against it.
    fn unwritable(&self, _key: &KeyMetadata) -> Option<SecretError> {
        None
    }

    /// Puts the secret where [`fetch`](SecretStore::fetch) looks for it, or replaces the one that is there.
    async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError>;
}

/// How long a store may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTimeouts {
    /// Until a connection stands; `KEYROT_SECRET_CONNECT_TIMEOUT`, 2 s.
    pub connect: Duration,
    /// For one read or write in all, further tries and logging in included; `KEYROT_SECRET_TIMEOUT`, 5 s.
    pub total: Duration,
}

impl Default for StoreTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), total: Duration::from_secs(5) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::key::KeyId;

    /// Never answers in time.
    #[derive(Debug, Default)]
    struct Hangs(AtomicUsize);

    #[async_trait]
    impl SecretStore for Hangs {
        fn locator(&self, key: &KeyMetadata) -> String {
            format!("test:{}", key.key_id)
        }

        async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(SecretError::new(
                SecretErrorKind::TimedOut,
                self.locator(key),
                "no answer from vault.example.com",
            ))
        }
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_not_asked_for_the_rest() {
        let keys: Vec<KeyMetadata> =
            (0..50).map(|n| KeyMetadata::new(KeyId::parse(&format!("k{n}")).unwrap(), "m")).collect();
        let store = Hangs::default();
        let fetched = store.fetch_all(&keys).await;
        assert_eq!(store.0.load(Ordering::Relaxed), 8, "those of the first round");
        for (key, fetched) in keys.iter().zip(fetched) {
            let error = fetched.unwrap_err();
            assert_eq!((error.kind(), error.locator()), (SecretErrorKind::TimedOut, &*store.locator(key)));
            assert!(error.to_string().contains("vault.example.com"), "{error}");
        }
    }
}
