//! Secret stores behind a pool that works: a secret is replaced under load, the store goes away under load.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod aws;
mod load;
mod vault;
