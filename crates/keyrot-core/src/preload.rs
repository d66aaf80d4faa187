//! Secrets before the first call: what is missing shows at the start, not in the middle of the night.

use crate::key::KeyId;
use crate::pool::KeyPool;
use crate::secret_error::SecretError;

impl KeyPool {
    /// Reads the secrets of all active keys, a few at a time, as far as none is held. Returns what could not be
    /// had; those keys are passed over until it can.
    pub async fn load_secrets(&self) -> Vec<(KeyId, SecretError)> {
        let active = self.keys().iter().filter(|key| key.active).cloned().collect();
        let mut told = Vec::new();
        for (key, error) in self.inner.secrets.preload(active).await {
            self.secret_failed(&key, &error);
            told.push((key.key_id, error));
        }
        told
    }
}
