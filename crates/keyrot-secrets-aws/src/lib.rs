//! Secrets from AWS Secrets Manager.
//!
//! ```no_run
//! use keyrot_core::{StoreTimeouts, Vars};
//! use keyrot_secrets_aws::{AwsConfig, AwsStore};
//!
//! let vars = Vars::from_iter([("AWS_REGION", "eu-west-1"), ("AWS_PROFILE", "llm")]);
//! let store = AwsStore::new(AwsConfig::from_vars(&vars)?, StoreTimeouts::default())?;
//! # Ok::<(), keyrot_core::ConfigError>(())
//! ```

mod batch;
mod ca_bundle;
mod config;
mod credential;
mod name;
mod retry;
mod session;
mod store;
mod trouble;
mod value;
mod words;

pub use crate::config::{AwsConfig, DEFAULT_PREFIX, DEFAULT_REGION};
pub use crate::store::AwsStore;
