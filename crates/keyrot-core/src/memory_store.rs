//! Secrets in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::key::{KeyId, KeyMetadata};
use crate::secret::SecretStore;
use crate::secret_error::{SecretError, SecretErrorKind};

/// Secrets in memory: single-key mode, tests, and teams that bring their own secrets.
#[derive(Clone, Default)]
pub struct MemoryStore {
    secrets: Arc<Mutex<HashMap<KeyId, SecretString>>>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// Puts a secret, or replaces it.
    pub fn put(&self, key: &KeyId, secret: SecretString) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), secret);
    }

    /// Takes a secret away.
    pub fn remove(&self, key: &KeyId) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[async_trait]
impl SecretStore for MemoryStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        format!("memory:{}", key.key_id)
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(secret) = secrets.get(&key.key_id) else {
            return Err(SecretError::new(
                SecretErrorKind::NotFound,
                self.locator(key),
                "no such secret; put one with MemoryStore::put",
            ));
        };
        match secret.expose_secret().trim() {
            "" => Err(SecretError::new(SecretErrorKind::Empty, self.locator(key), "the secret is empty")),
            value => Ok(SecretString::from(value)),
        }
    }
}
