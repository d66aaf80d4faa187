//! Secrets from environment variables, and from a `.env` file that is read anew on each fetch.

mod store;
mod writer;

pub use crate::store::EnvStore;
