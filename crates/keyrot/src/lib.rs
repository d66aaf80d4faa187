//! The facade: the parts of keyrot under one name, wired as the environment says.
#![doc = include_str!("../README.md")]

mod backends;
mod environment;
mod limiter;
mod limits;
mod nearest;
mod open;
#[cfg(feature = "ratelimit-redis")]
mod redis;
mod reload;
mod settings;
mod single;
#[cfg(feature = "ratelimit-sqlite")]
mod sqlite;

pub use keyrot_core::*;

#[cfg(feature = "gemini")]
pub use keyrot_gemini as gemini;
#[cfg(feature = "ratelimit-redis")]
pub use keyrot_ratelimit_redis as ratelimit_redis;
#[cfg(feature = "ratelimit-sqlite")]
pub use keyrot_ratelimit_sqlite as ratelimit_sqlite;
#[cfg(feature = "secrets-aws")]
pub use keyrot_secrets_aws as secrets_aws;
#[cfg(feature = "secrets-azure")]
pub use keyrot_secrets_azure as secrets_azure;
#[cfg(feature = "secrets-env")]
pub use keyrot_secrets_env as secrets_env;
#[cfg(feature = "secrets-vault")]
pub use keyrot_secrets_vault as secrets_vault;
#[cfg(feature = "strategy-gen")]
pub use strategy_gen;

pub use crate::environment::Environment;
pub use crate::open::{Notice, Opened, from_env};
pub use crate::reload::ReloadStatus;
pub use crate::settings::{DEFAULT_MODEL, Settings};
