//! Redis goes away under load, in every way that it can: callers do not notice, and limits hold where they shall.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at what it does not expect, and prints its figures"
)]

mod load;
mod redis_barred;
mod redis_gone;
mod redis_installations;
mod redis_proxied;
mod redis_shares;
