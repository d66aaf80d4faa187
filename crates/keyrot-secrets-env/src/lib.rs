//! Secrets from environment variables, and from a `.env` file that is read anew on each fetch.

mod store;

pub use crate::store::EnvStore;
