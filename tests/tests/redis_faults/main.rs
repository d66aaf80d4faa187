//! Redis goes away under load, in every way that it can: callers do not notice, and limits hold where they shall.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at what it does not expect, and prints its figures"
)]

mod barred;
mod gone;
mod installations;
mod load;
mod proxied;
mod shares;
