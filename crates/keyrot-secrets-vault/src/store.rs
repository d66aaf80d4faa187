//! The store: each question to the server with its deadline, its retry with a new token, and its error.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use async_trait::async_trait;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    Clock, ConfigError, KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, SecretWriter,
    StoreTimeouts, SystemClock, check_secret_names,
};
use serde_json::Value;
use tokio::sync::Mutex;
use vaultrs::api;
use vaultrs::client::VaultClient;

use crate::access::{Access, is_known};
use crate::config::{KvVersion, VaultConfig};
use crate::endpoint::Get;
use crate::explain::{Asked, To};
use crate::failure::Failure;
use crate::kv::{self, Kept};
use crate::place::{self, Mount};
use crate::server::Server;

/// The secret store behind `SECRET_STORE_TYPE=vault`.
///
/// The secret of a key is the field `value` of `{VAULT_SECRET_PATH}/{key_id}`. The field `secret` of an entry names
/// another secret below `VAULT_SECRET_PATH`, or one anywhere if there is a `/` in it: then it is a whole path, as
/// `vault kv get` takes it.
pub struct VaultStore {
    access: Arc<Access>,
    prefix: String,
    field: String,
    stated: Option<KvVersion>,
    timeouts: StoreTimeouts,
    /// Those that were asked for. Locked while one is asked for: the others who need it wait.
    mounts: Mutex<Vec<Mount>>,
}

impl VaultStore {
    /// Asks nobody: the first read logs in. Reads and writes need a tokio runtime, in which the token is kept alive
    /// as long as the store is there.
    ///
    /// # Errors
    /// Every value that is not allowed, or the file of certificates if it cannot be used.
    pub fn new(config: VaultConfig, timeouts: StoreTimeouts) -> Result<Self, ConfigError> {
        Self::with_clock(config, timeouts, Arc::new(SystemClock))
    }

    /// The same with another clock for the life of the token.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(
        config: VaultConfig,
        timeouts: StoreTimeouts,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        if let Some(error) = ConfigError::of(config.problems()) {
            return Err(error);
        }
        let server = Server::new(&config, timeouts)?;
        Ok(Self {
            access: Arc::new(Access::new(server, config.credential, clock)),
            prefix: config.secret_path.trim_matches('/').to_owned(),
            field: config.field,
            stated: config.kv_version,
            timeouts,
            mounts: Mutex::default(),
        })
    }

    fn asked<'a>(&'a self, key: &'a KeyMetadata, to: To) -> Asked<'a> {
        Asked {
            access: &self.access,
            key,
            path: place::path(&self.prefix, key),
            field: &self.field,
            stated: self.stated.is_some(),
            to,
            mount: OnceLock::new(),
        }
    }

    /// Asks, and once more with a new token if the server does not know the old one any more.
    async fn ask<T, F>(&self, question: impl Fn(Arc<VaultClient>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let client = Arc::clone(&self.access.session().await?.client);
        match question(Arc::clone(&client)).await {
            Err(failure) if failure.status() == Some(403) && !is_known(&client).await => {
                match self.access.instead_of(&client).await? {
                    Some(session) => question(Arc::clone(&session.client)).await,
                    None => Err(Failure::TokenRefused),
                }
            }
            answered => answered,
        }
    }

    /// The mount that a path leads into; asked for once.
    async fn mount(&self, path: &str) -> Result<Mount, Failure> {
        if let Some(version) = self.stated {
            return Ok(Mount::first_part(path, version));
        }
        let mut mounts = self.mounts.lock().await;
        if let Some(mount) = mounts.iter().find(|mount| mount.holds(path)) {
            return Ok(mount.clone());
        }
        let mount = self.ask(|client| mount_of(client, path)).await?;
        mounts.push(mount.clone());
        Ok(mount)
    }

    async fn read(&self, asked: &Asked<'_>) -> Result<Kept, Failure> {
        let mount = &self.mount(&asked.path).await?;
        let _ = asked.mount.set(mount.clone());
        let path = mount.below(&asked.path);
        self.ask(|client| async move { kv::read(&client, mount, path).await }).await
    }

    async fn write(&self, asked: &Asked<'_>, secret: &SecretString) -> Result<(), Failure> {
        let mount = &self.mount(&asked.path).await?;
        let _ = asked.mount.set(mount.clone());
        let path = mount.below(&asked.path);
        let change = |client: Arc<VaultClient>| async move {
            let mut kept = kv::read_to_change(&client, mount, path).await?;
            kept.fields.insert(self.field.clone(), Value::String(secret.expose_secret().to_owned()));
            kv::write(&client, mount, path, &kept).await
        };
        self.ask(change).await
    }

    /// What comes of a question within the deadline, its failure in words.
    async fn within<T>(
        &self,
        asked: &Asked<'_>,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, SecretError> {
        if let Some(problem) = place::bad_name(asked.key) {
            return Err(SecretError::new(SecretErrorKind::BadName, asked.locator(), problem));
        }
        let answered = async {
            match question.await {
                Ok(answer) => Ok(answer),
                Err(failure) => Err(asked.explain(failure).await),
            }
        };
        match tokio::time::timeout(self.timeouts.total, answered).await {
            Ok(answered) => answered,
            Err(_) => Err(asked.timed_out()),
        }
    }
}

/// Asks into which mount a path leads, as `vault kv` does. A server too old for the question has version 1 only.
async fn mount_of(client: Arc<VaultClient>, path: &str) -> Result<Mount, Failure> {
    let told = match api::exec_with_result(&*client, Get::mount_of(path)).await.map_err(Failure::from) {
        Err(Failure::Refused(refusal)) if refusal.status == 404 && !refusal.lacks_the_namespace() => {
            return Ok(Mount::first_part(path, KvVersion::V1));
        }
        told => told?,
    };
    let mount = told["path"].as_str().ok_or(Failure::NotVault(200))?.trim_matches('/');
    let version = if told["options"]["version"] == "2" { KvVersion::V2 } else { KvVersion::V1 };
    Ok(Mount { path: mount.to_owned(), version })
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultStore")
            .field("server", &self.access.server.shown())
            .field("path", &self.prefix)
            .field("field", &self.field)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for VaultStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        self.asked(key, To::Read).locator()
    }

    fn check(&self, keys: &KeySet) -> Result<(), ConfigError> {
        check_secret_names(keys, |key| match place::bad_name(key) {
            Some(problem) => Err(problem),
            None => Ok(vec![place::path(&self.prefix, key)]),
        })
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let asked = self.asked(key, To::Read);
        let kept = self.within(&asked, self.read(&asked)).await?;
        kept.secret(&self.field).map_err(|(kind, found)| asked.no_secret(kind, &found))
    }

    async fn written_at(&self, key: &KeyMetadata) -> Result<Option<SystemTime>, SecretError> {
        let asked = self.asked(key, To::Read);
        Ok(self.within(&asked, self.read(&asked)).await?.written_at())
    }
}

#[async_trait]
impl SecretWriter for VaultStore {
    /// Other fields of the secret stay as they are.
    async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError> {
        let asked = self.asked(key, To::Write);
        self.within(&asked, self.write(&asked, secret)).await
    }
}
