//! Where secrets come from: a store that knows how to find the secret of a key.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::key::{KeyId, KeyMetadata};

/// A place that holds one secret for each key.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// Where this store looks for the key's secret, for messages: `env:GEMINI_KEY_flash_01`. Pure.
    fn locator(&self, key: &KeyMetadata) -> String;

    /// The secret as it is now, without white space around it.
    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError>;
}

/// What kind of trouble a store had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretErrorKind {
    /// The store refuses us: credentials or permissions.
    Denied,
    /// The secret exists but is empty, disabled or of the wrong shape.
    Invalid,
    /// There is no such secret.
    NotFound,
    /// The store cannot be reached, or asks to slow down; trying later may help.
    Unavailable,
}

/// A secret could not be had. The text names the locator and what to do, never a secret.
#[derive(Clone, Debug)]
pub struct SecretError {
    kind: SecretErrorKind,
    locator: String,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl SecretError {
    /// `message` says what was found and what to do; it must not hold a secret.
    pub fn new(kind: SecretErrorKind, locator: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, locator: locator.into(), message: message.into(), source: None }
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> SecretErrorKind {
        self.kind
    }

    /// Where the store looked.
    pub fn locator(&self) -> &str {
        &self.locator
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.kind == SecretErrorKind::Unavailable
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.locator, self.message)
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

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
            "" => Err(SecretError::new(SecretErrorKind::Invalid, self.locator(key), "the secret is empty")),
            value => Ok(SecretString::from(value)),
        }
    }
}
