//! The way to the server: one HTTP client for all, and a Vault client for each token.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{ConfigError, StoreTimeouts};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, ClientBuilder, Url};
use rustify::clients::reqwest::Client as Http;
use vaultrs::api::EndpointMiddleware;
use vaultrs::client::{VaultClient, VaultClientSettings};

use crate::config::VaultConfig;

pub(crate) const ALLOWED_ADDRESS: &str =
    "http:// or https://, a host and perhaps a port, such as https://vault.example.com:8200";

/// How often a request may be sent on: a standby server names the active one.
const REDIRECTS: usize = 2;

/// A server and how to reach it. Nothing is asked before a client is used.
pub(crate) struct Server {
    address: Url,
    namespace: Option<String>,
    http: reqwest::Client,
    sent_on_to: SentOnTo,
}

/// Where a request was last sent on to.
type SentOnTo = Arc<Mutex<Option<String>>>;

impl Server {
    /// For an address that [`VaultConfig::problems`] has not refused.
    pub(crate) fn new(config: &VaultConfig, timeouts: StoreTimeouts) -> Result<Self, ConfigError> {
        let address = parse_address(&config.address)
            .ok_or_else(|| ConfigError::new(format!("VAULT_ADDR: allowed: {ALLOWED_ADDRESS}")))?;
        let sent_on_to = SentOnTo::default();
        let http = http_client(config, &address, timeouts, Arc::clone(&sent_on_to))?;
        Ok(Self { address, namespace: config.namespace.clone(), http, sent_on_to })
    }

    /// The server that this one has named in its place, if it ever did.
    pub(crate) fn sent_on_to(&self) -> Option<String> {
        self.sent_on_to.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As it is shown: without the slash that `Url` adds.
    pub(crate) fn shown(&self) -> String {
        let address = self.address.as_str().trim_end_matches('/');
        self.namespace
            .as_ref()
            .map_or_else(|| address.to_owned(), |name| format!("{address} (namespace {name})"))
    }

    /// Its name; empty for the root namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// A client that shows this token, or none.
    ///
    /// Every setting is given: the builder of vaultrs would look into the environment for what is left out, where
    /// an empty `VAULT_SKIP_VERIFY` switches verification off.
    pub(crate) fn client(&self, token: Option<&SecretString>) -> VaultClient {
        let token = token.map(|token| token.expose_secret().to_owned()).unwrap_or_default();
        let middle = EndpointMiddleware {
            token,
            version: "v1".to_owned(),
            wrap: None,
            namespace: self.namespace.clone(),
        };
        let settings = VaultClientSettings {
            address: self.address.clone(),
            ca_certs: Vec::new(),
            identity: None,
            timeout: None,
            token: String::new(),
            verify: true,
            version: 1,
            wrapping: false,
            namespace: None,
            proxy: None,
        };
        VaultClient { http: Http::new(self.address.as_str(), self.http.clone()), middle, settings }
    }
}

/// An address that vaultrs can use: it takes no path before `/v1`.
pub(crate) fn parse_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then_some(url)
}

/// The address for a message: what stands before an `@` may be a password.
pub(crate) fn without_login(address: &str) -> String {
    address.rsplit_once('@').map_or_else(|| address.to_owned(), |(_, host)| format!("...@{host}"))
}

fn http_client(
    config: &VaultConfig,
    address: &Url,
    timeouts: StoreTimeouts,
    sent_on_to: SentOnTo,
) -> Result<reqwest::Client, ConfigError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("keyrot/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total.max(Duration::from_millis(1)))
        .redirect(Policy::custom(move |attempt| follow(attempt, &sent_on_to)))
        .referer(false);
    if is_loopback(address) {
        builder = builder.no_proxy();
    }
    if address.scheme() == "http" {
        // No certificate is ever looked at: do without the system's, which may not be there at all.
        builder = builder.tls_certs_only([]);
        if !is_loopback(address) {
            tracing::warn!(host = address.host_str(), "VAULT_ADDR is plain http: secrets travel unencrypted");
        }
    } else if let Some(file) = &config.ca_file {
        builder = trusting(builder, file)?;
    }
    if config.skip_verify {
        tracing::warn!(host = address.host_str(), "VAULT_SKIP_VERIFY: anybody may pretend to be this server");
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        ConfigError::new(format!(
            "the HTTP client for Vault cannot be made: {error}{cause}; are root certificates installed (package \
             ca-certificates, SSL_CERT_FILE or VAULT_CACERT)?"
        ))
    })
}

fn trusting(builder: ClientBuilder, file: &Path) -> Result<ClientBuilder, ConfigError> {
    let pem = std::fs::read(file).map_err(|error| {
        ConfigError::new(format!("VAULT_CACERT: cannot read {}: {error}", file.display()))
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(builder.tls_certs_only(certificates)),
        _ => Err(ConfigError::new(format!(
            "VAULT_CACERT: {} holds no certificate; allowed: a file with certificates as PEM",
            file.display()
        ))),
    }
}

/// The token goes with the request, so it goes neither in the clear where it was encrypted nor round in circles.
fn follow(attempt: Attempt<'_>, sent_on_to: &SentOnTo) -> reqwest::redirect::Action {
    let to = attempt.url().origin().ascii_serialization();
    *sent_on_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
    let from = attempt.previous().last().map(Url::scheme);
    if from == Some(attempt.url().scheme()) && attempt.previous().len() <= REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
