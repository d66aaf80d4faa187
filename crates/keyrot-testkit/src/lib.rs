//! What every backend of keyrot must do, as suites of named tests; a race of processes for one home of
//! records; virtual time; the log and a search for leaks.
//!
//! For tests only: a broken rule ends in a panic.
#![expect(clippy::expect_used, clippy::panic, reason = "a test kit fails by panicking")]

mod captured;
pub mod leak;
mod limiter_blocks;
mod limiter_proof;
mod limiter_quota;
mod limiter_sharing;
pub mod race;
mod race_caller;
mod race_ledger;
pub mod rate_limiter;
mod secret_names;
pub mod secret_store;
mod secret_troubles;
mod virtual_time;

use std::future::Future;

pub use crate::captured::Captured;
pub use crate::virtual_time::run_virtual;

/// Runs one case of a suite to its end, on one thread and in real time.
///
/// # Panics
/// If the case fails.
pub fn run_case(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a runtime").block_on(case);
}
