//! Scenarios over HTTP, in real time: what is sent is counted, how long it takes is not judged.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at what it does not expect, and prints its figures"
)]

mod four_keys;
mod llmock;
