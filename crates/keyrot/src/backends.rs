//! Which store `SECRET_STORE_TYPE` means, and where the single key's secret is.

use std::sync::Arc;

#[cfg(feature = "secrets-env")]
use keyrot_secrets_env::EnvStore;

use keyrot_core::{ConfigError, SecretStore};

use crate::environment::Environment;

/// The stores of this build.
const COMPILED_IN: &[&str] = &[
    #[cfg(feature = "secrets-env")]
    "env",
];

/// The store of this name.
pub(crate) fn secret_store(
    kind: &str,
    environment: &Environment,
) -> Result<Arc<dyn SecretStore>, ConfigError> {
    match kind {
        #[cfg(feature = "secrets-env")]
        "env" => Ok(variables(environment)),
        #[cfg(not(feature = "secrets-env"))]
        "env" => Err(not_compiled_in(kind, environment)),
        "vault" | "aws" | "azure" => Err(not_compiled_in(kind, environment)),
        _ => Err(ConfigError::bad_value("SECRET_STORE_TYPE", kind, "env, vault, aws or azure")),
    }
}

fn not_compiled_in(kind: &str, _read_by_no_store: &Environment) -> ConfigError {
    let compiled_in = if COMPILED_IN.is_empty() { "none".to_owned() } else { COMPILED_IN.join(", ") };
    ConfigError::new(format!(
        "SECRET_STORE_TYPE is {kind:?}, which is not compiled in this build: it is the feature secrets-{kind}; \
         compiled in: {compiled_in}"
    ))
}

/// The process's variables over the `.env` file, which is read anew with each fetch.
#[cfg(feature = "secrets-env")]
fn variables(environment: &Environment) -> Arc<dyn SecretStore> {
    let process = environment.process().clone();
    Arc::new(match environment.file() {
        Some(file) => EnvStore::with_dotenv(process, file),
        None => EnvStore::new(process),
    })
}

/// The store of the single key, and the name that its entry has to give to it.
#[cfg(feature = "secrets-env")]
pub(crate) fn single_secret(
    environment: &Environment,
    variable: &'static str,
) -> (Arc<dyn SecretStore>, Option<&'static str>) {
    (variables(environment), Some(variable))
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
