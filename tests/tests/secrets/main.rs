//! Secret stores behind a pool that works: a secret is replaced under load, the store goes away under load.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at what it does not expect, and prints its figures"
)]

mod aws;
mod azure;
#[cfg(unix)]
mod documented;
mod env;
mod load;
mod vault;
