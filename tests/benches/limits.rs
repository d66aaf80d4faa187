//! How much of its quota a pool uses, and how often it is refused, in six virtual hours against every kind of window a
//! provider may have: `cargo xtask simulate-limits`. Ends with 1 if a figure is not as it should be.
#![expect(clippy::print_stdout, reason = "a report for people")]

use std::process::ExitCode;

use keyrot_e2e::limit_table::{all_rows, simulate};

const MINUTES: u64 = 6 * 60;
const SEEDS: [u64; 3] = [1, 2, 3];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"limits".contains(&filter) {
        return ExitCode::SUCCESS;
    }
    let table = simulate(&all_rows(), MINUTES, &SEEDS);
    println!("{table}");
    let misses = table.misses();
    for miss in &misses {
        println!("MISSED {miss}");
    }
    if misses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
