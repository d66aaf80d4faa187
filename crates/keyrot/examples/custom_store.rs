//! A secret store of your own: each secret in a file of a folder, as container platforms mount them.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::io::ErrorKind;
use std::path::PathBuf;

use async_trait::async_trait;
use keyrot::gemini::{GenerateRequest, PooledGemini};
use keyrot::secrecy::SecretString;
use keyrot::{
    Environment, KeyMetadata, KeyPool, KeyRequest, SecretError, SecretErrorKind, SecretStore, Settings,
};

/// A file for each key, called after its id.
#[derive(Debug)]
struct FolderStore {
    folder: PathBuf,
}

#[async_trait]
impl SecretStore for FolderStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        format!("file:{}", self.folder.join(key.key_id.as_str()).display())
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        match std::fs::read_to_string(self.folder.join(key.key_id.as_str())) {
            Ok(text) => Ok(SecretString::from(text.trim())),
            Err(error) => {
                // The kind decides: a secret that is not there is given up, a store that is down is asked again.
                let kind = match error.kind() {
                    ErrorKind::NotFound => SecretErrorKind::NotFound,
                    ErrorKind::PermissionDenied => SecretErrorKind::Denied,
                    _ => SecretErrorKind::Unavailable,
                };
                Err(SecretError::new(kind, self.locator(key), error.to_string()).with_source(error))
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::from_environment(Environment::read(None)?)?.rotation(Some(true));
    let pool =
        KeyPool::builder(settings.key_set()?).secrets(FolderStore { folder: "secrets".into() }).build();
    for (id, error) in pool.load_secrets().await {
        println!("{id} is not used: {error}");
    }

    let gemini = PooledGemini::new(pool, settings.gemini()?);
    let body = GenerateRequest::user("What is a moving average? One sentence.");
    let request = KeyRequest::any().tokens(body.estimated_input_tokens());
    let done = gemini.generate(&request, &body).await?;
    let by = done.attempts.last().map_or("", |attempt| attempt.key_id.as_str());
    println!("{by}: {}", done.value.text);
    gemini.pool().close().await;
    Ok(())
}
