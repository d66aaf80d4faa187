//! Logging in: Microsoft's credentials, with errors of ours.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::ClientOptions;
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{ConfigError, SecretErrorKind};

use crate::credential::{AzureCredential, AzureTools};
use crate::entra::Entra;
use crate::identity::{IdentityEndpoint, ManagedIdentity};
use crate::tools::{IdentityOrTools, Tools};

/// A login failed. Holds nothing that another program said.
#[derive(Clone, Debug)]
pub(crate) struct LoginError {
    pub(crate) kind: SecretErrorKind,
    pub(crate) what: String,
    /// The server asks to wait this long.
    pub(crate) retry_after: Option<Duration>,
}

impl LoginError {
    pub(crate) fn new(kind: SecretErrorKind, what: String) -> Self {
        Self { kind, what, retry_after: None }
    }

    /// The login that failed, if that is why a request failed.
    pub(crate) fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(login) = error.downcast_ref() {
                return Some(login);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for LoginError {}

impl From<LoginError> for azure_core::Error {
    fn from(error: LoginError) -> Self {
        Self::new(ErrorKind::Credential, error)
    }
}

/// What the logins share: the transport of the vault's requests, and one for addresses that no proxy can reach.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) options: ClientOptions,
    pub(crate) local: reqwest::Client,
    pub(crate) authority_host: String,
}

/// The credential, ready to be asked for tokens; nobody is asked yet.
pub(crate) fn login(
    credential: &AzureCredential,
    ways: &Ways,
) -> Result<Arc<dyn TokenCredential>, ConfigError> {
    let managed = |endpoint: &IdentityEndpoint, client_id: &Option<String>| {
        ManagedIdentity::new(endpoint, client_id.clone(), ways.local.clone())
    };
    Ok(match credential {
        AzureCredential::ClientSecret { tenant_id, client_id, client_secret } => {
            let secret = Secret::new(client_secret.expose_secret().to_owned());
            let options = ClientSecretCredentialOptions { client_options: ways.with_authority() };
            let inner = ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options));
            Arc::new(Entra::new(
                made(inner, "AZURE_TENANT_ID, AZURE_CLIENT_ID or AZURE_CLIENT_SECRET")?,
                &ways.authority_host,
            ))
        }
        AzureCredential::WorkloadIdentity { tenant_id, client_id, token_file } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions {
                    client_options: ways.with_authority(),
                },
                client_id: Some(client_id.clone()),
                tenant_id: Some(tenant_id.clone()),
                token_file_path: Some(token_file.clone()),
            };
            if let Err(error) = std::fs::metadata(token_file) {
                return Err(ConfigError::file(
                    "read the file of AZURE_FEDERATED_TOKEN_FILE,",
                    token_file,
                    &error,
                ));
            }
            let inner = WorkloadIdentityCredential::new(Some(options));
            Arc::new(Entra::new(made(inner, "AZURE_FEDERATED_TOKEN_FILE")?, &ways.authority_host))
        }
        AzureCredential::ManagedIdentity { client_id, endpoint } => Arc::new(managed(endpoint, client_id)?),
        AzureCredential::DeveloperTools { tools, tenant_id } => {
            Arc::new(Tools::new(*tools, tenant_id.as_ref())?)
        }
        AzureCredential::ManagedIdentityOrDeveloperTools { client_id, tenant_id } => {
            let tools = Tools::new(AzureTools::Any, tenant_id.as_ref())?;
            Arc::new(IdentityOrTools::new(managed(&IdentityEndpoint::Machine, client_id)?, tools))
        }
    })
}

impl Ways {
    /// Named in any case: without it, the crates look for `AZURE_AUTHORITY_HOST` themselves, and not in `.env`.
    fn with_authority(&self) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(&self.authority_host);
        let mut options = self.options.clone();
        options.cloud = Some(Arc::new(CloudConfiguration::from(cloud)));
        options
    }
}

pub(crate) fn made<T>(credential: azure_core::Result<T>, variables: &str) -> Result<T, ConfigError> {
    // The error may hold a part of a value.
    credential.map_err(|_| ConfigError::new(format!("{variables} cannot be used to log in to Azure")))
}
