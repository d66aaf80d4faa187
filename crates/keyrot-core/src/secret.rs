//! Where secrets come from: a store that knows how to find the secret of a key.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::concurrent::a_few_at_a_time;
use crate::error::ConfigError;
use crate::key::KeyMetadata;
use crate::keyset::KeySet;
use crate::secret_error::SecretError;

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
    /// several in one call.
    async fn fetch_all(&self, keys: &[KeyMetadata]) -> Vec<Result<SecretString, SecretError>> {
        a_few_at_a_time(keys.iter().collect(), |key| self.fetch(key)).await
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
