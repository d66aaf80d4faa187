//! The suite of secret stores on a `.env` file.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::{KeyId, KeyMetadata, SecretStore, SecretWriter, Vars};
use keyrot_secrets_env::EnvStore;
use keyrot_testkit::secret_store::SecretHarness;
use keyrot_testkit::secret_store_tests;
use tempfile::TempDir;

struct DotenvFile {
    directory: TempDir,
}

#[async_trait]
impl SecretHarness for DotenvFile {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::new(EnvStore::with_dotenv(Vars::default(), self.directory.path().join(".env")))
    }

    async fn put(&self, key: &KeyMetadata, secret: &str) {
        let name = key.secret.clone().unwrap_or_else(|| format!("GEMINI_KEY_{}", key.key_id));
        let value = secret.replace('\r', "\\r").replace('\n', "\\n");
        let path = self.directory.path().join(".env");
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{name}=\"{value}\"").unwrap(); // of two lines the last counts
    }

    fn advice(&self, key: &KeyMetadata) -> String {
        key.secret.clone().unwrap_or_else(|| format!("GEMINI_KEY_{}", key.key_id))
    }

    fn writer(&self) -> Arc<dyn SecretWriter> {
        Arc::new(EnvStore::with_dotenv(Vars::default(), self.directory.path().join(".env")))
    }

    fn bad_names(&self) -> Vec<String> {
        ["A B", "A=B", "A\nB", "clé", "$A"].map(str::to_owned).into()
    }

    async fn one_name(&self) -> [KeyMetadata; 2] {
        ["a.1", "a-1"].map(|id| KeyMetadata::new(KeyId::parse(id).unwrap(), "m"))
    }
}

async fn dotenv_file() -> DotenvFile {
    DotenvFile { directory: TempDir::new().unwrap() }
}

secret_store_tests!(dotenv_file; named written);
