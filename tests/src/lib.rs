//! Whole-system scenarios of keyrot: what the tests and the benchmark of this package share.
//!
//! For tests only: a broken rule ends in a panic.
#![expect(clippy::expect_used, clippy::panic, reason = "a scenario fails by panicking")]

pub mod counting;
pub mod docs;
#[cfg(doctest)]
mod docs_examples;
pub mod docs_shell;
pub mod four_keys;
pub mod limit_run;
pub mod limit_table;
pub mod over_http;
pub mod record;
pub mod utilisation;
pub mod world;
