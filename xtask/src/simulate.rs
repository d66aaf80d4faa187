//! `cargo xtask simulate-limits`: how a pool does against every kind of window, in virtual time.

use crate::run::{self, cargo};

pub(crate) fn run() -> Result<(), String> {
    run::run(&mut cargo(&["bench", "--quiet", "--package", "keyrot-e2e", "--bench", "limits"]))?;
    println!("\nThe table to compare with: docs/performance.md");
    Ok(())
}
