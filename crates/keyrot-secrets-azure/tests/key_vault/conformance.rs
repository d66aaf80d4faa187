//! The suite of secret stores, for each way to log in.

use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::{KeyMetadata, SecretStore, SecretWriter};
use keyrot_secrets_azure::AzureStore;
use keyrot_test_servers::azure::{
    Answer, CLIENT_SECRET, FEDERATED_TOKEN, IDENTITY_HEADER, Trouble as Double,
};
use keyrot_testkit::secret_store::{SecretHarness, Trouble};

use crate::place::{Place, key};

struct KeyVault {
    place: Place,
    store: Arc<AzureStore>,
}

/// As a user would write it by hand.
fn name(key: &KeyMetadata) -> String {
    key.secret.clone().unwrap_or_else(|| key.key_id.as_str().replace(['_', '.'], "-"))
}

#[async_trait]
impl SecretHarness for KeyVault {
    fn store(&self) -> Arc<dyn SecretStore> {
        self.store.clone()
    }

    fn writer(&self) -> Arc<dyn SecretWriter> {
        self.store.clone()
    }

    async fn put(&self, key: &KeyMetadata, secret: &str) {
        self.place.azure.put(&name(key), secret).await;
    }

    fn credentials(&self) -> Vec<String> {
        [CLIENT_SECRET, FEDERATED_TOKEN, IDENTITY_HEADER, "eyJ0b2tlbi-kbYdN7vQ"].map(str::to_owned).into()
    }

    fn advice(&self, key: &KeyMetadata) -> String {
        if key.secret.as_ref().is_some_and(|name| self.bad_names().contains(name)) {
            return "allowed: 1 to 127 characters of A-Z a-z 0-9 -".to_owned();
        }
        format!("az keyvault secret show --vault-name myvault --name {}", name(key))
    }

    fn bad_names(&self) -> Vec<String> {
        ["a/b", "a_b", "..", "a?b", "a b", "clé", &"x".repeat(128)].map(str::to_owned).into()
    }

    async fn one_name(&self) -> [KeyMetadata; 2] {
        [key("a_1"), key("A-1")]
    }

    async fn requests(&self) -> usize {
        self.place.azure.counts().await.vault
    }

    async fn cause(&self, trouble: Trouble, key: &KeyMetadata) {
        let (azure, answer) =
            (&self.place.azure, |answer| Double { answer: Some(answer), ..Double::default() });
        match trouble {
            Trouble::Disabled => azure.enable(&name(key), false).await,
            Trouble::WrongShape => azure.put_as(&name(key), "MIIK", "application/x-pkcs12").await,
            Trouble::NoPermission => azure.trouble(&answer(Answer::forbidden("ForbiddenByRbac"))).await,
            Trouble::WrongCredentials => {
                azure.trouble(&Double { login_refused: true, ..Double::default() }).await;
            }
            Trouble::Throttled => azure.trouble(&answer(Answer::throttled(60))).await,
            Trouble::Gone => azure.kill().await,
            Trouble::Frozen => azure.freeze().await,
        }
    }

    async fn end(&self, trouble: Trouble, _key: &KeyMetadata) {
        match trouble {
            Trouble::Gone => self.place.azure.restart().await,
            Trouble::Frozen => self.place.azure.thaw().await,
            _ => self.place.azure.trouble(&Double::default()).await,
        }
    }
}

mod client_secret {
    use super::*;

    async fn key_vault() -> KeyVault {
        let place = Place::new().await;
        KeyVault { store: place.store(place.client_secret()), place }
    }

    keyrot_testkit::secret_store_tests!(key_vault; named dated written disabled shaped guarded throttled served);
}

mod managed_identity {
    use super::*;

    async fn key_vault() -> KeyVault {
        let place = Place::new().await;
        KeyVault { store: place.store(place.managed_identity(None)), place }
    }

    keyrot_testkit::secret_store_tests!(key_vault; named dated written disabled shaped guarded throttled served);
}

mod workload_identity {
    use super::*;

    async fn key_vault() -> KeyVault {
        let place = Place::new().await;
        KeyVault { store: place.store(place.workload_identity()), place }
    }

    keyrot_testkit::secret_store_tests!(key_vault; named dated written disabled shaped guarded throttled served);
}
