//! Secrets from Azure Key Vault.
//!
//! ```
//! use keyrot_core::{StoreTimeouts, Vars};
//! use keyrot_secrets_azure::{AzureConfig, AzureStore};
//! let vars = Vars::from_iter([
//!     ("AZURE_VAULT_URL", "https://your-vault.vault.azure.net/"),
//!     ("AZURE_TENANT_ID", "your-tenant"),
//!     ("AZURE_CLIENT_ID", "your-app"),
//!     ("AZURE_CLIENT_SECRET", "the-secret-of-your-app"),
//! ]);
//! let store = AzureStore::new(AzureConfig::from_vars(&vars)?, StoreTimeouts::default())?; // asks nobody yet
//! # let _ = store;
//! # Ok::<(), keyrot_core::ConfigError>(())
//! ```

mod broken;
mod config;
mod credential;
mod entra;
mod identity;
mod login;
mod names;
mod store;
mod tools;
mod trouble;
mod vault;

pub use crate::config::AzureConfig;
pub use crate::credential::{AzureCredential, AzureTools};
pub use crate::identity::IdentityEndpoint;
pub use crate::store::AzureStore;
