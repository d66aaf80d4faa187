//! Whole-system scenarios of keyrot: what the tests and the benchmark of this package share.
//!
//! For tests only: a broken rule ends in a panic.
#![expect(clippy::expect_used, clippy::panic, reason = "a scenario fails by panicking")]

pub mod docs;
pub mod docs_shell;
#[cfg(doctest)]
mod docs_examples;
