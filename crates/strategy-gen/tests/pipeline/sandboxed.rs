//! What the tests of the sandbox have in common.

use std::path::Path;

use keyrot_test_servers::tool;
use strategy_gen::{Prices, PythonEnvironment, PythonRunner, Sandbox};

use crate::table::Row;

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new([env!("CARGO_BIN_EXE_strategy-gen-launcher")])
}

pub(crate) fn environment() -> PythonEnvironment {
    let python = tool("python");
    let folder = python.parent().and_then(Path::parent).expect("an environment has a folder bin");
    PythonEnvironment::at(folder).expect("it is complete")
}

/// With less time than usual, for the replies that never end.
pub(crate) fn runner() -> PythonRunner {
    let mut sandbox = sandbox();
    sandbox.limits.cpu = std::time::Duration::from_secs(8);
    PythonRunner::new(environment(), sandbox)
}

pub(crate) fn prices(row: &Row) -> Prices {
    match row.data.as_deref() {
        Some("eurusd") => Prices::EurUsd,
        Some("btcusd") => Prices::BtcUsd,
        _ => Prices::Goog,
    }
}
