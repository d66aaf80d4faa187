//! What went wrong with a question, by code. Errors of the client crates hold bodies of replies, so none is kept.

use keyrot_core::SecretErrorKind;
use rustify::errors::ClientError as RestError;
use serde_json::Value;
use vaultrs::error::ClientError;

/// Why a question has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// Nobody answered in time.
    TimedOut,
    /// No connection, and why in words of the system or of TLS.
    NoConnection(String),
    /// The server said no.
    Refused(Refusal),
    /// Whoever answered, with this status, is no Vault.
    NotVault(u16),
    /// We could not log in.
    NotLoggedIn {
        /// What was found.
        found: String,
        /// What to do.
        fix: &'static str,
    },
    /// The server does not know our token (any more).
    TokenRefused,
}

/// A reply that is no answer. It is one to a read or to a write: it holds no secret, unless a server repeats what it
/// was sent.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) errors: Vec<String>,
    /// The body, if it is JSON and not a list of errors.
    pub(crate) body: Value,
}

impl Refusal {
    /// True if one of the errors says this.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.errors.iter().any(|error| error.contains(text))
    }

    /// The state of a version of a secret in KV 2 that is there and cannot be read.
    pub(crate) fn version(&self) -> Option<Version> {
        let metadata = self.body["data"]["metadata"].as_object().filter(|_| self.status == 404)?;
        let number = metadata.get("version")?.as_u64()?;
        Some(Version { number, destroyed: metadata.get("destroyed") == Some(&Value::Bool(true)) })
    }

    /// True if `VAULT_NAMESPACE` names one that is not there.
    pub(crate) fn lacks_the_namespace(&self) -> bool {
        self.says("namespace not found")
    }

    /// True if it answers a question of KV 1 to an engine of KV 2.
    pub(crate) fn wants_version_2(&self) -> bool {
        let warnings = self.body["warnings"].as_array();
        let mut texts = warnings.into_iter().flatten().filter_map(Value::as_str);
        texts.any(|text| text.contains("versioned K/V secrets engine"))
    }
}

/// A version of a secret that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) number: u64,
    /// It cannot be had back.
    pub(crate) destroyed: bool,
}

impl Failure {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// True if the same question may be answered later without anybody changing anything.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.status >= 412,
            Self::TimedOut | Self::NoConnection(_) | Self::NotVault(_) => true,
            Self::NotLoggedIn { .. } | Self::TokenRefused => false,
        }
    }

    /// The kind, where it does not depend on the state of the server.
    pub(crate) fn kind(&self) -> SecretErrorKind {
        match self {
            Self::TimedOut => SecretErrorKind::TimedOut,
            Self::NoConnection(_) => SecretErrorKind::Unreachable,
            Self::NotVault(_) => SecretErrorKind::Unavailable,
            Self::NotLoggedIn { .. } | Self::TokenRefused => SecretErrorKind::Unauthenticated,
            Self::Refused(refusal) => match refusal.status {
                403 => SecretErrorKind::Denied,
                404 if refusal.version().is_some_and(|version| !version.destroyed) => {
                    SecretErrorKind::Disabled
                }
                404 => SecretErrorKind::NotFound,
                429 => SecretErrorKind::Throttled,
                _ => SecretErrorKind::Unavailable,
            },
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::APIError { code, errors } => {
                Self::Refused(Refusal { status: code, errors, body: Value::Null })
            }
            ClientError::RestClientError { source } => match source {
                RestError::ServerResponseError { code, content } => {
                    let body: Value =
                        content.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
                    // what stands before the server knows nothing about the secret: 403 and 404 would take the key out
                    if matches!(code, 400 | 401 | 403..=405) && !is_vaults(&body) {
                        return Self::NotVault(code);
                    }
                    Self::Refused(Refusal { status: code, errors: Vec::new(), body })
                }
                RestError::RequestError { source, .. } | RestError::ResponseError { source } => {
                    match source.downcast_ref::<reqwest::Error>() {
                        Some(error) if error.is_timeout() => Self::TimedOut,
                        _ => Self::NoConnection(source.root_cause().to_string()),
                    }
                }
                _ => Self::NotVault(200),
            },
            _ => Self::NotVault(200),
        }
    }
}

/// True of a reply without a list of errors that Vault gives nevertheless: about a deleted version, or with a warning.
fn is_vaults(body: &Value) -> bool {
    ["data", "warnings"].iter().any(|part| body.get(part).is_some())
}
