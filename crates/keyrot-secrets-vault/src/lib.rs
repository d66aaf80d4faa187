//! Secrets from the KV engine of HashiCorp Vault, version 1 or 2, or of its open fork OpenBao.
//!
//! [`VaultConfig`] says where and as whom, [`VaultStore`] reads and writes. A token is renewed before it ends, and
//! logged in for anew where it cannot be.
//!
//! What the client crates log (targets `vaultrs` and `rustify`) holds no secret, but repeats each refusal as an error:
//! a program may well switch them off.

mod access;
mod config;
mod endpoint;
mod explain;
mod failure;
mod keeper;
mod kv;
mod place;
mod server;
mod store;

pub use crate::config::{KvVersion, VaultConfig, VaultCredential};
pub use crate::store::VaultStore;
