//! The program `keyrot` as a process of its own, against the simulator over HTTP.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends at what it does not expect"
)]

mod leaks;
mod program;
mod single_key;
