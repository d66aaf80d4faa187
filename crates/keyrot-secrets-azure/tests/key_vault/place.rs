//! A double, and stores that log in to it in each way.

use std::path::PathBuf;
use std::sync::Arc;

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{KeyId, KeyMetadata, SecretError, SecretStore, StoreTimeouts};
use keyrot_secrets_azure::{AzureConfig, AzureCredential, AzureStore, IdentityEndpoint};
use keyrot_test_servers::Azure;
use keyrot_test_servers::azure::{CLIENT, CLIENT_SECRET, FEDERATED_TOKEN, IDENTITY_HEADER, TENANT};
use tempfile::TempDir;

/// The double under the names of Microsoft's hosts, and a folder for files.
pub(crate) struct Place {
    pub(crate) azure: Azure,
    folder: TempDir,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self { azure: Azure::start().await, folder: TempDir::new().unwrap() }
    }

    pub(crate) fn config(&self, credential: AzureCredential) -> AzureConfig {
        AzureConfig {
            vault_url: self.azure.named_url(),
            credential,
            authority_host: self.azure.named_authority(),
            root_certificates: None,
            verify_challenge: true,
        }
    }

    pub(crate) fn store(&self, credential: AzureCredential) -> Arc<AzureStore> {
        let http = self.azure.client();
        Arc::new(AzureStore::with_http(self.config(credential), StoreTimeouts::default(), http).unwrap())
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        let path = self.folder.path().join("token");
        std::fs::write(&path, FEDERATED_TOKEN).unwrap();
        path
    }

    pub(crate) fn client_secret(&self) -> AzureCredential {
        AzureCredential::ClientSecret {
            tenant_id: TENANT.to_owned(),
            client_id: CLIENT.to_owned(),
            client_secret: CLIENT_SECRET.into(),
        }
    }

    pub(crate) fn workload_identity(&self) -> AzureCredential {
        AzureCredential::WorkloadIdentity {
            tenant_id: TENANT.to_owned(),
            client_id: CLIENT.to_owned(),
            token_file: self.token_file(),
        }
    }

    pub(crate) fn managed_identity(&self, client_id: Option<&str>) -> AzureCredential {
        let (url, header) = (self.azure.identity_endpoint(), IDENTITY_HEADER.into());
        let endpoint = IdentityEndpoint::Service { url, header };
        AzureCredential::ManagedIdentity { client_id: client_id.map(str::to_owned), endpoint }
    }
}

pub(crate) fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "m")
}

pub(crate) async fn fetch(store: &AzureStore, id: &str) -> Result<String, SecretError> {
    store.fetch(&key(id)).await.map(|secret| secret.expose_secret().to_owned())
}
