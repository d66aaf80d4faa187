//! The store: one request to the vault for each read, tried again within the deadline.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_security_keyvault_secrets::models::{Secret, SetSecretParameters};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    Clock, ConfigError, KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, SecretWriter,
    StoreTimeouts, SystemClock,
};
use tokio::sync::Semaphore;

use crate::config::{AUTHORITY, AzureConfig, address};
use crate::login::{Ways, login};
use crate::names;
use crate::trouble::{Asked, Trouble};
use crate::vault::Vault;

/// Requests at the same time, each on a connection of its own: a start with many keys is no flood.
const AT_ONCE: usize = 16;

/// Tries of one read; each further one waits for twice as long.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The secret store behind `SECRET_STORE_TYPE=azure`.
///
/// The secret of a key is the one of the vault with the key's id as its name, every character outside `A-Z a-z 0-9 -`
/// as `-`; the field `secret` of an entry names another one. [`check`](SecretStore::check) refuses ids that lead to
/// one name, for which Key Vault does not tell `A` from `a`.
///
/// A read logs in if there is no token yet. It is tried three times in all where that may help, within
/// [`StoreTimeouts::total`]: the SDK would try for more than a minute.
pub struct AzureStore {
    vault: Vault,
    config: AzureConfig,
    ways: Ways,
    timeouts: StoreTimeouts,
    session: Mutex<Arc<Session>>,
    at_once: Semaphore,
}

/// A client with the token of one login.
struct Session {
    client: SecretClient,
    /// The vault has taken its token once.
    proven: AtomicBool,
}

/// What is asked of the vault.
#[derive(Clone, Copy)]
enum Request<'a> {
    Read,
    Write(&'a SecretString),
}

impl AzureStore {
    /// A store for this vault. Nobody is asked yet.
    ///
    /// # Errors
    /// An address that cannot be used, a file that cannot be read.
    pub fn new(config: AzureConfig, timeouts: StoreTimeouts) -> Result<Self, ConfigError> {
        let client = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(timeouts.connect) // the rest is bounded by `ask`
                .redirect(reqwest::redirect::Policy::none());
            Ok(builder.tls_certs_merge(root_certificates(&config)?))
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder
                .build()
                .map_err(|_| ConfigError::new("TLS cannot be used: no root certificate of the system"))
        };
        // What hands out tokens of a managed identity is on the machine or beside it, never behind a proxy.
        let (http, local) = (built(client()?)?, built(client()?.no_proxy())?);
        Self::with_clients(config, timeouts, http, local)
    }

    /// As [`new`](Self::new), with an HTTP client of the caller's for every request, those of the login included: for
    /// own proxies, resolvers or certificates, about which `config` is not asked then. It should bound the time for a
    /// connection itself, and not follow redirects.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_http(
        config: AzureConfig,
        timeouts: StoreTimeouts,
        http: reqwest::Client,
    ) -> Result<Self, ConfigError> {
        Self::with_clients(config, timeouts, http.clone(), http)
    }

    fn with_clients(
        config: AzureConfig,
        timeouts: StoreTimeouts,
        http: reqwest::Client,
        local: reqwest::Client,
    ) -> Result<Self, ConfigError> {
        let vault = Vault::parse(&config.vault_url)?;
        address("AZURE_AUTHORITY_HOST", &config.authority_host, AUTHORITY)?;
        let options = ClientOptions {
            transport: Some(Transport::new(Arc::new(http))),
            retry: RetryOptions::none(), // ours knows the deadline
            ..ClientOptions::default()
        };
        let ways = Ways { options, local, authority_host: config.authority_host.clone() };
        let session = Mutex::new(Arc::new(Session::new(&vault, &config, &ways)?));
        Ok(Self { vault, config, ways, timeouts, session, at_once: Semaphore::new(AT_ONCE) })
    }

    fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets the token: the credentials of the SDK would give the refused one again until it is over.
    fn log_in_anew(&self, refused: &Arc<Session>) -> Result<(), ConfigError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&session, refused) {
            *session = Arc::new(Session::new(&self.vault, &self.config, &self.ways)?);
        }
        Ok(())
    }

    async fn ask(&self, key: &KeyMetadata, request: Request<'_>) -> Result<Secret, SecretError> {
        let locator = self.locator(key);
        if let Some(problem) = names::problem(key) {
            return Err(SecretError::new(SecretErrorKind::BadName, locator, problem));
        }
        let name = names::name(key);
        let writes = matches!(request, Request::Write(_));
        let asked = Asked { vault: &self.vault, key: &key.key_id, name: &name, writes };
        let total = self.timeouts.total;
        let (kind, what) = match tokio::time::timeout(total, self.tries(asked, request)).await {
            Ok(Ok(secret)) => return Ok(secret),
            Ok(Err(trouble)) => (trouble.kind, trouble.what),
            Err(_) => {
                let address = &self.vault.address;
                let what = format!(
                    "no answer from {address} within {total:?}, login included; raise KEYROT_SECRET_TIMEOUT if it is only \
                     slow"
                );
                (SecretErrorKind::TimedOut, what)
            }
        };
        Err(self.error(kind, locator, &name, &what))
    }

    fn error(&self, kind: SecretErrorKind, locator: String, name: &str, what: &str) -> SecretError {
        SecretError::new(kind, locator, format!("{what}; to look at it: {}", self.vault.show(name)))
    }

    async fn tries(&self, asked: Asked<'_>, request: Request<'_>) -> Result<Secret, Trouble> {
        let deadline = SystemClock.now() + self.timeouts.total;
        let _turn = self.at_once.acquire().await; // an error would say that it is closed, which nobody does
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let session = self.session();
            let trouble = match session.ask(asked.name, request).await {
                Ok(secret) => return Ok(secret),
                Err(error) => Trouble::of(error, asked),
            };
            let again = SystemClock.now() + trouble.retry_after.unwrap_or_default().max(pause);
            if trouble.token_refused {
                let renewed = self.log_in_anew(&session);
                if !session.proven.load(Ordering::Relaxed) || renewed.is_err() || tries == TRIES {
                    return Err(trouble);
                }
            } else if trouble.may_pass && tries < TRIES && again < deadline {
                SystemClock.sleep_until(again).await;
                pause *= 2;
            } else {
                return Err(trouble);
            }
            tries += 1;
        }
    }
}

impl Session {
    fn new(vault: &Vault, config: &AzureConfig, ways: &Ways) -> Result<Self, ConfigError> {
        let options = SecretClientOptions {
            client_options: ways.options.clone(),
            verify_challenge_resource: Some(config.verify_challenge),
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(&vault.address, login(&config.credential, ways)?, Some(options))
            .map_err(|_| ConfigError::new("AZURE_VAULT_URL cannot be used"))?;
        Ok(Self { client, proven: AtomicBool::new(false) })
    }

    async fn ask(&self, name: &str, request: Request<'_>) -> azure_core::Result<Secret> {
        let reply = match request {
            Request::Read => self.client.get_secret(name, None).await,
            Request::Write(secret) => {
                let value = Some(secret.expose_secret().to_owned());
                let parameters = SetSecretParameters { value, ..SetSecretParameters::default() };
                self.client.set_secret(name, parameters.try_into()?, None).await
            }
        };
        let secret = reply?.into_model()?;
        self.proven.store(true, Ordering::Relaxed);
        Ok(secret)
    }
}

/// What `SSL_CERT_FILE` holds; from the process environment the system's verifier reads it too, from `.env` it does not.
fn root_certificates(config: &AzureConfig) -> Result<Vec<reqwest::Certificate>, ConfigError> {
    let Some(file) = &config.root_certificates else { return Ok(Vec::new()) };
    let pem = std::fs::read(file)
        .map_err(|error| ConfigError::file("read the file of SSL_CERT_FILE,", file, &error))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        let file = file.display();
        return Err(ConfigError::new(format!(
            "SSL_CERT_FILE is {file}, which holds no certificate in PEM form"
        )));
    }
    Ok(certificates)
}

/// A certificate of the vault is a secret too, of this shape.
fn is_certificate(secret: &Secret) -> bool {
    let of_certificates = ["application/x-pkcs12", "application/x-pem-file"];
    secret.kid.is_some() || secret.content_type.as_deref().is_some_and(|kind| of_certificates.contains(&kind))
}

/// What its owner has said about when to use a secret. Key Vault gives it out at any time: the dates are information.
///
/// Source: "Secret attributes", About Azure Key Vault secrets.
fn outside_its_dates(secret: &Secret, now: SystemTime) -> Option<&'static str> {
    let attributes = secret.attributes.as_ref()?;
    if attributes.expires.is_some_and(|end| SystemTime::from(end) <= now) {
        return Some("past its expiration date");
    }
    attributes
        .not_before
        .is_some_and(|begin| SystemTime::from(begin) > now)
        .then_some("before its activation date")
}

#[async_trait]
impl SecretStore for AzureStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        self.vault.locator(&names::name(key))
    }

    fn check(&self, keys: &KeySet) -> Result<(), ConfigError> {
        names::check(keys)
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let secret = self.ask(key, Request::Read).await?;
        let (locator, name) = (self.locator(key), names::name(key));
        let error = |kind, what: &str| self.error(kind, locator.clone(), &name, what);
        if is_certificate(&secret) {
            let what =
                "it is a certificate, not an API key; name a secret by the field \"secret\" of the entry";
            return Err(error(SecretErrorKind::WrongShape, what));
        }
        if let Some(when) = outside_its_dates(&secret, SystemClock.wall()) {
            tracing::warn!(locator, when, "a secret is used outside its dates");
        }
        let Some(value) = secret.value else {
            return Err(error(SecretErrorKind::WrongShape, "the answer holds no value"));
        };
        match value.trim() {
            "" => {
                let what =
                    format!("it is empty; put the API key there with keyrot secrets put {}", key.key_id);
                Err(error(SecretErrorKind::Empty, &what))
            }
            key => Ok(SecretString::from(key)),
        }
    }

    async fn written_at(&self, key: &KeyMetadata) -> Result<Option<SystemTime>, SecretError> {
        let secret = self.ask(key, Request::Read).await?;
        // Of the version: `updated` moves when its attributes are changed.
        Ok(secret.attributes.and_then(|attributes| attributes.created).map(SystemTime::from))
    }
}

#[async_trait]
impl SecretWriter for AzureStore {
    /// Writes a new version, without the dates and tags of the one before.
    async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError> {
        self.ask(key, Request::Write(secret)).await.map(drop)
    }
}

impl fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureStore")
            .field("config", &self.config)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use azure_core::json::from_json;

    use super::*;

    #[test]
    fn the_dates_of_a_secret_are_told() {
        let told = |dates: &str| {
            let secret: Secret =
                from_json(format!(r#"{{"value": "x", "attributes": {{{dates}}}}}"#)).unwrap();
            outside_its_dates(&secret, SystemTime::UNIX_EPOCH + Duration::from_secs(1000))
        };
        assert_eq!(told(r#""exp": 1000"#), Some("past its expiration date"));
        assert_eq!(told(r#""nbf": 1001"#), Some("before its activation date"));
        assert_eq!(told(r#""nbf": 1000, "exp": 1001"#), None);
        assert_eq!(told(""), None);
    }

    #[test]
    fn a_certificate_is_told_from_a_text() {
        let certificate =
            |more: &str| is_certificate(&from_json(format!(r#"{{"value": "x"{more}}}"#)).unwrap());
        assert!(certificate(r#", "contentType": "application/x-pem-file""#));
        assert!(certificate(r#", "kid": "https://v.vault.azure.net/keys/a/1""#));
        assert!(!certificate(r#", "contentType": "text/plain""#) && !certificate(""));
    }
}
