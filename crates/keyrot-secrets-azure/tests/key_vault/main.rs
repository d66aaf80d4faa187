//! The store against the double of Key Vault.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod conformance;
mod errors;
mod leaks;
mod logins;
mod place;
mod refusals;
