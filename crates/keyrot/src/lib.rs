//! Work in progress.

#[cfg(feature = "secrets-env")]
pub use keyrot_secrets_env as secrets_env;
