//! Which store `SECRET_STORE_TYPE` means, and where the single key's secret is.

use std::sync::Arc;

#[cfg(feature = "secrets-aws")]
use keyrot_secrets_aws::{AwsConfig, AwsStore};
#[cfg(feature = "secrets-azure")]
use keyrot_secrets_azure::{AzureConfig, AzureStore};
#[cfg(feature = "secrets-env")]
use keyrot_secrets_env::EnvStore;
#[cfg(feature = "secrets-vault")]
use keyrot_secrets_vault::{VaultConfig, VaultStore};

use keyrot_core::{ConfigError, SecretStore, SecretWriter};

use crate::environment::Environment;
use crate::settings::Settings;

/// The stores that there are.
const STORES: [&str; 4] = ["env", "vault", "aws", "azure"];

/// The stores of this build.
const COMPILED_IN: &[&str] = &[
    #[cfg(feature = "secrets-env")]
    "env",
    #[cfg(feature = "secrets-vault")]
    "vault",
    #[cfg(feature = "secrets-aws")]
    "aws",
    #[cfg(feature = "secrets-azure")]
    "azure",
];

/// The store that the settings name, to read from and to write to.
pub(crate) fn secret_writer(settings: &Settings) -> Result<Arc<dyn SecretWriter>, ConfigError> {
    match settings.secret_store() {
        #[cfg(feature = "secrets-env")]
        "env" => Ok(Arc::new(variables(&settings.environment))),
        #[cfg(feature = "secrets-vault")]
        "vault" => {
            let config = VaultConfig::from_vars(settings.vars())?;
            Ok(Arc::new(VaultStore::new(config, settings.secret_timeouts())?))
        }
        #[cfg(feature = "secrets-aws")]
        "aws" => {
            let config = AwsConfig::from_vars(settings.vars())?;
            Ok(Arc::new(AwsStore::new(config, settings.secret_timeouts())?))
        }
        #[cfg(feature = "secrets-azure")]
        "azure" => {
            let config = AzureConfig::from_vars(settings.vars())?;
            Ok(Arc::new(AzureStore::new(config, settings.secret_timeouts())?))
        }
        kind if STORES.contains(&kind) => Err(not_compiled_in(kind)),
        kind => Err(ConfigError::bad_value("SECRET_STORE_TYPE", kind, "env, vault, aws or azure")),
    }
}

fn not_compiled_in(kind: &str) -> ConfigError {
    let compiled_in = if COMPILED_IN.is_empty() { "none".to_owned() } else { COMPILED_IN.join(", ") };
    ConfigError::new(format!(
        "SECRET_STORE_TYPE is {kind:?}, which is not compiled in this build: it is the feature secrets-{kind}; \
         compiled in: {compiled_in}"
    ))
}

/// The process's variables over the `.env` file, which is read anew with each fetch.
#[cfg(feature = "secrets-env")]
fn variables(environment: &Environment) -> EnvStore {
    let process = environment.process().clone();
    match environment.file() {
        Some(file) => EnvStore::with_dotenv(process, file),
        None => EnvStore::new(process),
    }
}

/// The store of the single key, and the name that its entry has to give to it.
#[cfg(feature = "secrets-env")]
pub(crate) fn single_secret(
    environment: &Environment,
    variable: &'static str,
) -> (Arc<dyn SecretStore>, Option<&'static str>) {
    (Arc::new(variables(environment)), Some(variable))
}

/// Without the store of variables the value is taken once.
#[cfg(not(feature = "secrets-env"))]
pub(crate) fn single_secret(
    environment: &Environment,
    variable: &'static str,
) -> (Arc<dyn SecretStore>, Option<&'static str>) {
    use keyrot_core::{KeyId, MemoryStore, secrecy::SecretString};
    let store = MemoryStore::default();
    if let (Ok(id), Some(secret)) = (KeyId::parse("default"), environment.vars().text(variable)) {
        store.put(&id, SecretString::from(secret));
    }
    (Arc::new(store), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_this_build_leaves_out_is_told_with_its_feature_as_the_documentation_quotes() {
        let error = not_compiled_in("vault").to_string();
        let quoted = "SECRET_STORE_TYPE is \"vault\", which is not compiled in this build: it is the feature secrets-vault";
        assert!(error.starts_with(&format!("{quoted}; compiled in: ")), "{error}");
        assert!(include_str!("../../../docs/troubleshooting.md").contains(quoted));
    }
}
