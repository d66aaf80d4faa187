//! The store: each question to the server with its deadline, its retry with a new token, and its error.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    Clock, ConfigError, KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, SecretWriter,
    StoreTimeouts, SystemClock,
};
use serde_json::Value;
use tokio::sync::OnceCell;
use vaultrs::api;
use vaultrs::client::VaultClient;

use crate::access::{Access, is_known};
use crate::config::{KvVersion, VaultConfig};
use crate::endpoint::Get;
use crate::explain::Asked;
use crate::failure::Failure;
use crate::kv::{self, Kept};
use crate::place::{self, Mount};
use crate::server::Server;

/// The secret store behind `SECRET_STORE_TYPE=vault`.
///
/// The secret of a key is the field `value` of `{VAULT_SECRET_PATH}/{key_id}`. The field `secret` of an entry names
/// another secret below `VAULT_SECRET_PATH`.
pub struct VaultStore {
    access: Arc<Access>,
    path: String,
    field: String,
    stated: Option<KvVersion>,
    timeouts: StoreTimeouts,
    mount: OnceCell<Mount>,
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
            path: config.secret_path.trim_matches('/').to_owned(),
            field: config.field,
            stated: config.kv_version,
            timeouts,
            mount: OnceCell::new(),
        })
    }

    fn asked<'a>(&'a self, key: &'a KeyMetadata) -> Asked<'a> {
        Asked {
            access: &self.access,
            key,
            path: format!("{}/{}", self.path, place::name(key)),
            mount: self.mount.get().cloned(),
            stated: self.stated.is_some(),
            to: "read",
            capabilities: "\"read\"",
            field: &self.field,
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

    /// The mount of the secrets; asked for once.
    async fn mount(&self) -> Result<&Mount, Failure> {
        let ask = async || match self.stated {
            Some(version) => Ok(Mount::first_part(&self.path, version)),
            None => self.ask(|client| mount_of(client, &self.path)).await,
        };
        self.mount.get_or_try_init(ask).await
    }

    async fn read(&self, key: &KeyMetadata) -> Result<Kept, Failure> {
        let asked = self.asked(key);
        let mount = self.mount().await?;
        let path = mount.below(&asked.path);
        self.ask(|client| async move { kv::read(&client, mount, path).await }).await
    }

    async fn write(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), Failure> {
        let asked = self.asked(key);
        let mount = self.mount().await?;
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
        key: &KeyMetadata,
        question: impl Future<Output = Result<T, Failure>>,
        for_writing: bool,
    ) -> Result<T, SecretError> {
        if let Some(problem) = place::bad_name(key) {
            return Err(SecretError::new(SecretErrorKind::BadName, self.locator(key), problem));
        }
        let answered = async {
            match question.await {
                Ok(answer) => Ok(answer),
                Err(failure) if for_writing => {
                    let capabilities = "\"create\", \"read\", \"update\"";
                    Err(Asked { to: "write", capabilities, ..self.asked(key) }.explain(failure).await)
                }
                Err(failure) => Err(self.asked(key).explain(failure).await),
            }
        };
        let timed_out = |_| Err(self.asked(key).timed_out());
        tokio::time::timeout(self.timeouts.total, answered).await.unwrap_or_else(timed_out)
    }
}

/// Asks in which mount a path is, as `vault kv` does. A server too old for the question has version 1 only.
async fn mount_of(client: Arc<VaultClient>, path: &str) -> Result<Mount, Failure> {
    let told = match api::exec_with_result(&*client, Get::mount_of(path)).await.map_err(Failure::from) {
        Err(Failure::Refused(refusal)) if refusal.status == 404 => {
            return Ok(Mount::first_part(path, KvVersion::V1));
        }
        told => told?,
    };
    let mount = told["path"].as_str().ok_or(Failure::NotVault)?.trim_matches('/');
    let version = if told["options"]["version"] == "2" { KvVersion::V2 } else { KvVersion::V1 };
    Ok(Mount { path: mount.to_owned(), version })
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultStore")
            .field("server", &self.access.server.shown())
            .field("path", &self.path)
            .field("field", &self.field)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for VaultStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        format!("vault:{}/{}", self.path, place::name(key))
    }

    fn check(&self, keys: &KeySet) -> Result<(), ConfigError> {
        let mut owners: BTreeMap<&str, &KeyMetadata> = BTreeMap::new();
        let mut problems = Vec::new();
        for key in keys {
            if let Some(problem) = place::bad_name(key) {
                problems.push(format!("{}: {problem}", key.key_id));
                continue;
            }
            match owners.get(place::name(key)) {
                Some(first) if first.secret.is_none() || key.secret.is_none() => problems.push(format!(
                    "{} and {} both take their secret from {}/{}; rename one, or give both the same \"secret\" if they \
                     are one key",
                    first.key_id,
                    key.key_id,
                    self.path,
                    place::name(key)
                )),
                Some(_) => {}
                None => {
                    owners.insert(place::name(key), key);
                }
            }
        }
        ConfigError::of(problems).map_or(Ok(()), Err)
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let kept = self.within(key, self.read(key), false).await?;
        kept.secret(&self.field).map_err(|(kind, found)| self.asked(key).no_secret(kind, &found))
    }

    async fn written_at(&self, key: &KeyMetadata) -> Result<Option<SystemTime>, SecretError> {
        Ok(self.within(key, self.read(key), false).await?.written_at())
    }
}

#[async_trait]
impl SecretWriter for VaultStore {
    /// Other fields of the secret stay as they are.
    async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError> {
        self.within(key, self.write(key, secret), true).await
    }
}
