//! What the tests of the sandbox have in common.

use std::path::Path;
use std::time::Duration;

use keyrot_test_servers::tool;
use strategy_gen::{Prices, PythonEnvironment, PythonRunner, Sandbox};

use crate::table::Row;

pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_strategy-gen-launcher");

/// Where a copy of it is for a user who may not reach it.
pub(crate) const COPY_OF_LAUNCHER: &str = "STRATEGY_GEN_TEST_LAUNCHER";

pub(crate) fn sandbox() -> Sandbox {
    #[expect(clippy::disallowed_methods, reason = "how tests that are run by another user know")]
    let copy = std::env::var_os(COPY_OF_LAUNCHER);
    Sandbox::new([copy.unwrap_or_else(|| LAUNCHER.into())])
}

pub(crate) fn environment() -> PythonEnvironment {
    let python = tool("python");
    let folder = python.parent().and_then(Path::parent).expect("an environment has a folder bin");
    PythonEnvironment::at(folder).expect("it is complete")
}

/// With this much processor time.
pub(crate) fn runner(cpu: Duration) -> PythonRunner {
    let mut sandbox = sandbox();
    sandbox.limits.cpu = cpu;
    PythonRunner::new(environment(), sandbox)
}

pub(crate) fn prices(row: &Row) -> Prices {
    match row.data.as_deref() {
        Some("eurusd") => Prices::EurUsd,
        Some("btcusd") => Prices::BtcUsd,
        _ => Prices::Goog,
    }
}
