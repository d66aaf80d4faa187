//! The store: one read, one write, and who asks for them.

use std::fmt;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sdk_secretsmanager::config::SharedHttpClient;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    ConfigError, KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, SecretWriter, StoreTimeouts,
    check_secret_names,
};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::ca_bundle;
use crate::config::AwsConfig;
use crate::name;
use crate::session::{Place, Session};
use crate::trouble::Trouble;
use crate::value::{key_in, with_key};
use crate::words::Asked;

pub(crate) const READ: &str = "secretsmanager:GetSecretValue";
const WRITE: &str = "secretsmanager:PutSecretValue";
const CREATE: &str = "secretsmanager:CreateSecret";

/// The secret store behind `SECRET_STORE_TYPE=aws`.
///
/// The secret of a key is `AWS_SECRET_PREFIX` and its id, `algoagent/flash_01`; the field `secret` of an entry is
/// another name, whole, or an ARN. The version with the label AWSCURRENT counts. It is plain text, or JSON with the key
/// in one of its fields, as text or as bytes.
///
/// The credential is the one that AWS's default chain finds: variables, profile, web identity, container, instance.
/// Throttled calls and broken connections are tried again within [`StoreTimeouts::total`].
pub struct AwsStore {
    pub(crate) config: AwsConfig,
    pub(crate) timeouts: StoreTimeouts,
    http: Option<SharedHttpClient>,
    session: Mutex<Option<Arc<Session>>>,
}

impl AwsStore {
    /// Reads the file of authorities, if one is named. Asks nobody: the credential is looked for by the first read.
    ///
    /// # Errors
    /// A file of authorities that cannot be used.
    pub fn new(config: AwsConfig, timeouts: StoreTimeouts) -> Result<Self, ConfigError> {
        let http = config.ca_bundle.as_deref().map(ca_bundle::client).transpose()?;
        Ok(Self { config, timeouts, http, session: Mutex::default() })
    }

    /// The work, given up when its time is over. The SDK's own log lines are dropped: at TRACE they show requests, with
    /// session token and new secret.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let work = work.with_subscriber(NoSubscriber::default());
        let in_time = tokio::time::timeout(self.timeouts.total, work).await;
        in_time.unwrap_or(Err(Trouble::TimedOut(self.timeouts.total)))
    }

    pub(crate) async fn session(&self) -> Result<Arc<Session>, Trouble> {
        if let Some(session) = self.held().as_ref().filter(|session| !session.over.load(Ordering::Relaxed)) {
            return Ok(Arc::clone(session));
        }
        let opened = Session::open(&self.config, self.timeouts, self.http.clone()).await;
        let opened = Arc::new(opened.map_err(Trouble::Profile)?);
        *self.held() = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What the SDK says, as trouble. A session whose credential is refused is over: profiles are read once by the SDK,
    /// and something else may be in them by now.
    pub(crate) fn trouble<E: ProvideErrorMetadata>(&self, session: &Session, error: &SdkError<E>) -> Trouble {
        let trouble = Trouble::of(error, self.timeouts.total);
        if trouble.kind() == SecretErrorKind::Unauthenticated {
            session.over.store(true, Ordering::Relaxed);
        }
        trouble
    }

    pub(crate) fn place(&self) -> Place {
        let session = self.held();
        session.as_ref().map_or_else(|| Place::configured(&self.config), |session| session.place.clone())
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stored(&self, key: &KeyMetadata) -> Result<GetSecretValueOutput, SecretError> {
        let (id, locator) = self.named(key)?;
        let read = async {
            let session = self.session().await?;
            self.get(&session, &id).await
        };
        let answer = self.in_time(read).await;
        answer.map_err(|trouble| {
            let asked = Asked { key_id: &key.key_id, id: &id, locator: &locator, action: READ };
            asked.failed(&self.place(), &trouble)
        })
    }

    async fn get(&self, session: &Session, id: &str) -> Result<GetSecretValueOutput, Trouble> {
        let answer = session.client.get_secret_value().secret_id(id).send().await;
        answer.map_err(|error| self.trouble(session, &error))
    }

    /// Its name or ARN, and the locator.
    pub(crate) fn named(&self, key: &KeyMetadata) -> Result<(String, String), SecretError> {
        let (id, locator) = (name::secret_id(key, &self.config.prefix), self.locator(key));
        match name::problem(&id, self.config.region.as_deref()) {
            Some(problem) => Err(SecretError::new(SecretErrorKind::BadName, locator, problem)),
            None => Ok((id, locator)),
        }
    }

    async fn write(&self, id: &str, secret: &str) -> Result<(), (&'static str, Trouble)> {
        let session = self.session().await.map_err(|trouble| (WRITE, trouble))?;
        let current = match self.get(&session, id).await {
            Ok(stored) => stored.secret_string,
            Err(trouble) if trouble.kind() == SecretErrorKind::NotFound => None,
            Err(trouble) => return Err((READ, trouble)),
        };
        let text = with_key(current.as_deref(), self.config.field.as_deref(), secret);
        let put = session.client.put_secret_value().secret_id(id).secret_string(&text).send().await;
        let trouble = match put {
            Ok(_) => return Ok(()),
            Err(error) => self.trouble(&session, &error),
        };
        if trouble.kind() != SecretErrorKind::NotFound || name::is_arn(id) {
            return Err((WRITE, trouble));
        }
        let created = session.client.create_secret().name(id).secret_string(&text).send().await;
        created.map(|_| ()).map_err(|error| (CREATE, self.trouble(&session, &error)))
    }
}

impl fmt::Debug for AwsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, timeouts, .. } = self;
        f.debug_struct("AwsStore").field("config", config).field("timeouts", timeouts).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for AwsStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        format!("aws:{}", name::secret_id(key, &self.config.prefix))
    }

    fn check(&self, keys: &KeySet) -> Result<(), ConfigError> {
        check_secret_names(keys, |key| {
            let id = name::secret_id(key, &self.config.prefix);
            match name::problem(&id, self.config.region.as_deref()) {
                Some(problem) => Err(problem),
                None => Ok(vec![id]),
            }
        })
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let (id, locator) = self.named(key)?;
        let stored = self.stored(key).await?;
        let bytes = stored.secret_binary().map(AsRef::as_ref);
        key_in(stored.secret_string(), bytes, self.config.field.as_deref()).map_err(|flaw| {
            let asked = Asked { key_id: &key.key_id, id: &id, locator: &locator, action: READ };
            asked.flawed(&self.place(), &flaw)
        })
    }

    async fn fetch_all(&self, keys: &[KeyMetadata]) -> Vec<Result<SecretString, SecretError>> {
        self.fetch_in_batches(keys).await
    }

    async fn written_at(&self, key: &KeyMetadata) -> Result<Option<SystemTime>, SecretError> {
        let stored = self.stored(key).await?;
        Ok(stored.created_date().and_then(|date| SystemTime::try_from(*date).ok()))
    }
}

#[async_trait]
impl SecretWriter for AwsStore {
    /// Makes a new version, or the secret if there is none. In a secret that is JSON the other fields stay.
    async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError> {
        let (id, locator) = self.named(key)?;
        let mut action = WRITE;
        let work = async {
            self.write(&id, secret.expose_secret()).await.map_err(|(failed, trouble)| {
                action = failed;
                trouble
            })
        };
        let written = self.in_time(work).await;
        written.map_err(|trouble| {
            Asked { key_id: &key.key_id, id: &id, locator: &locator, action }.failed(&self.place(), &trouble)
        })
    }
}
