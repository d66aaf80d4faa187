//! The suite of secret stores on the store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyMetadata, MemoryStore, SecretStore};
use keyrot_testkit::secret_store::SecretHarness;
use keyrot_testkit::secret_store_tests;

struct Memory(MemoryStore);

#[async_trait]
impl SecretHarness for Memory {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::new(self.0.clone())
    }

    async fn put(&self, key: &KeyMetadata, secret: &str) {
        self.0.put(&key.key_id, SecretString::from(secret));
    }
}

async fn memory() -> Memory {
    Memory(MemoryStore::default())
}

secret_store_tests!(memory);
