//! Managed identities: the machine or the service asks an address that nobody else can reach for a token.
//!
//! Microsoft's crate has this too, but it reads the process environment by itself, which leaves out `.env`, and asks
//! again for 72 s when nobody answers, whatever it is told.

use std::fmt;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::{StatusCode, Url};
use azure_core::json::from_json;
use azure_core::time::OffsetDateTime;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{ConfigError, SecretErrorKind, Vars};
use serde::Deserialize;

use crate::broken::broken;
use crate::login::LoginError;

/// Where a virtual machine asks: the same link-local address everywhere.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// Who hands out the tokens of a managed identity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IdentityEndpoint {
    /// The metadata service of a virtual machine, a scale set or an AKS node.
    Machine,
    /// App Service, Functions, Container Apps.
    Service {
        /// `IDENTITY_ENDPOINT`, set by the service.
        url: String,
        /// `IDENTITY_HEADER`, set by the service: proves that the caller is inside.
        header: SecretString,
    },
}

impl IdentityEndpoint {
    /// That of the service if `IDENTITY_ENDPOINT` is set, else the machine's.
    ///
    /// # Errors
    /// `IDENTITY_ENDPOINT` without `IDENTITY_HEADER`, or not an address.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let Some(url) = vars.text("IDENTITY_ENDPOINT") else { return Ok(Self::Machine) };
        address(url)?;
        match vars.text("IDENTITY_HEADER") {
            Some(header) => Ok(Self::Service { url: url.to_owned(), header: header.into() }),
            None => Err(ConfigError::new(
                "IDENTITY_HEADER is not set, but IDENTITY_ENDPOINT is, as Azure Arc does, whose identity is not \
                 supported; allowed: both, or an application (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET)",
            )),
        }
    }
}

fn address(text: &str) -> Result<Url, ConfigError> {
    Url::parse(text).ok().filter(Url::has_host).ok_or_else(|| {
        ConfigError::bad_value("IDENTITY_ENDPOINT", text, "the address that the service has set")
    })
}

/// The credential.
pub(crate) struct ManagedIdentity {
    url: Url,
    header: Option<SecretString>,
    client_id: Option<String>,
    http: reqwest::Client,
}

impl ManagedIdentity {
    pub(crate) fn new(
        endpoint: &IdentityEndpoint,
        client_id: Option<String>,
        http: reqwest::Client,
    ) -> Result<Self, ConfigError> {
        let (url, header) = match endpoint {
            IdentityEndpoint::Machine => (MACHINE, None),
            IdentityEndpoint::Service { url, header } => (url.as_str(), Some(header.clone())),
        };
        Ok(Self { url: address(url)?, header, client_id, http })
    }

    /// What a user reads as the place of this login.
    fn place(&self) -> &'static str {
        if self.header.is_some() {
            "the managed identity of this service (IDENTITY_ENDPOINT)"
        } else {
            "the managed identity of this machine (169.254.169.254)"
        }
    }

    async fn ask(&self, resource: &str) -> Result<AccessToken, LoginError> {
        let mut url = self.url.clone();
        let version = if self.header.is_some() { "2019-08-01" } else { "2018-02-01" };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if let Some(id) = &self.client_id {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        let request = match &self.header {
            Some(header) => self.http.get(url).header("x-identity-header", header.expose_secret()),
            None => self.http.get(url).header("metadata", "true"),
        };
        let reply = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = StatusCode::from(reply.status().as_u16());
        let body = reply.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(self.refused(status));
        }
        // Not as the cause: the error of the parser may show a part of the token.
        let token: Token = from_json(&body).map_err(|_| self.strange())?;
        let expires = token.expires_on.seconds().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        Ok(AccessToken::new(token.access_token, expires.ok_or_else(|| self.strange())?))
    }

    fn unreachable(&self, error: &reqwest::Error) -> LoginError {
        let broken = broken(error);
        LoginError::new(broken.kind, format!("{} cannot be asked: {}", self.place(), broken.what))
    }

    fn refused(&self, status: StatusCode) -> LoginError {
        let kind = match u16::from(status) {
            429 => SecretErrorKind::Throttled,
            404 | 410 | 500.. => SecretErrorKind::Unavailable, // its documentation: ask again later
            _ => SecretErrorKind::Unauthenticated,
        };
        let who = self.client_id.as_deref().unwrap_or("system-assigned");
        let what = format!(
            "{} gives no token for {who} (HTTP {}); assign an identity, or name an assigned one by AZURE_CLIENT_ID",
            self.place(),
            u16::from(status)
        );
        LoginError::new(kind, what)
    }

    fn strange(&self) -> LoginError {
        let what = format!("{} answers with something that is no token", self.place());
        LoginError::new(SecretErrorKind::Unavailable, what)
    }
}

impl fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedIdentity").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl TokenCredential for ManagedIdentity {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let scope = scopes.first().copied().unwrap_or_default();
        Ok(self.ask(scope.strip_suffix("/.default").unwrap_or(scope)).await?)
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_on: Expiry,
}

/// Unix time; documented as text, seen as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expiry {
    Text(String),
    Number(i64),
}

impl Expiry {
    fn seconds(&self) -> Option<i64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(seconds) => Some(*seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_say_who_hands_out_the_tokens() {
        let read = |pairs: &[(&str, &str)]| IdentityEndpoint::from_vars(&pairs.iter().copied().collect());
        assert!(matches!(read(&[]).unwrap(), IdentityEndpoint::Machine));
        let both =
            [("IDENTITY_ENDPOINT", "http://127.0.0.1:4141/msi/token"), ("IDENTITY_HEADER", "proof-of-place")];
        let service = read(&both).unwrap();
        assert!(matches!(service, IdentityEndpoint::Service { .. }));
        assert!(!format!("{service:?}").contains("proof-of-place"));
        let error = read(&both[..1]).unwrap_err().to_string();
        assert!(error.contains("IDENTITY_HEADER is not set") && error.contains("Azure Arc"), "{error}");
        let error = read(&[("IDENTITY_ENDPOINT", "here")]).unwrap_err().to_string();
        assert!(error.starts_with("IDENTITY_ENDPOINT is \"here\""), "{error}");
    }

    #[test]
    fn an_expiry_is_text_or_a_number() {
        for text in [r#""1586984735""#, "1586984735"] {
            let body = format!(r#"{{"access_token": "t", "expires_on": {text}, "token_type": "Bearer"}}"#);
            let token: Token = from_json(body).unwrap();
            assert_eq!(token.expires_on.seconds(), Some(1_586_984_735));
        }
    }
}
