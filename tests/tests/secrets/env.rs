//! The store of variables: a `.env` file that changes under load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use keyrot::gemini::{Gemini, PooledGemini};
use keyrot::secrecy::SecretString;
use keyrot::secrets_env::EnvStore;
use keyrot::{KeyMetadata, KeyPool, SecretError, SecretStore, Vars};
use keyrot_e2e::world::{entry, key_set};
use tempfile::TempDir;

use crate::load::{self, KEY, NEW, OLD};

/// The store, counting: a file does not tell who reads it.
#[derive(Debug)]
struct Counted(EnvStore, Arc<AtomicUsize>);

#[async_trait]
impl SecretStore for Counted {
    fn locator(&self, key: &KeyMetadata) -> String {
        self.0.locator(key)
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.fetch(key).await
    }
}

fn write(file: &Path, secret: &str) {
    std::fs::write(file, format!("GEMINI_KEY_{KEY}={secret}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_secret_is_taken_over_with_one_read() {
    let folder = TempDir::new().unwrap();
    let (file, provider) = (folder.path().join(".env"), load::provider().await);
    write(&file, OLD);
    let reads = Arc::new(AtomicUsize::new(0));
    let store = Counted(EnvStore::with_dotenv(Vars::default(), &file), Arc::clone(&reads));
    let pool = KeyPool::builder(key_set([entry(KEY, KEY)])).secrets(store).build();
    assert!(pool.load_secrets().await.is_empty());
    let client = Gemini::builder().base_url(provider.base_url()).build().unwrap();
    let gemini = Arc::new(PooledGemini::new(pool, client));
    let read_before = reads.load(Ordering::Relaxed);
    let replaced = async || {
        write(&file, NEW);
        load::refuse_the_old_one(&provider);
    };
    load::load(&gemini, replaced).await;
    load::assert_taken_over(&provider);
    assert_eq!(reads.load(Ordering::Relaxed) - read_before, 1, "reads of the file");
}
