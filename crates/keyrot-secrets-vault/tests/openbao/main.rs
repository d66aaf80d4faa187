//! The store against a real server, OpenBao: in each variant the suite of secret stores, and what only Vault has.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod conformance;
mod errors;
mod harness;
mod leaks;
mod life;
mod mounts;
mod scripted;
mod tls;
mod writing;
