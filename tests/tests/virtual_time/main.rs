//! Scenarios in virtual time: pool and simulated provider in one process, on one clock.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at what it does not expect, and prints its figures"
)]

mod day_end;
mod four_keys;
mod limits;
mod reload;
mod siblings;
mod utilisation;
mod waiting;
