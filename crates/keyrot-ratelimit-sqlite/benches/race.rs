//! The race of tests/race at full size: eight processes on one file, killed at random.
//! `cargo xtask bench race` prints the row that docs/performance.md shows.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a report for people; it ends at the first surprise"
)]

#[path = "../tests/race/caller.rs"]
mod caller;
#[path = "../tests/race/driver.rs"]
mod driver;
#[path = "../tests/race/ledger.rs"]
mod ledger;

use caller::{RPM, TPM, rpd};

fn main() {
    if let Ok(role) = std::env::var(driver::ROLE) {
        return caller::call_until_killed(&role);
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"race".contains(&filter) {
        return;
    }
    let size = driver::Size { processes: 8, calls: 200_000, kills: 100 };
    let driver::Outcome { calls, kills, highest } = driver::race(&size, &[]);
    println!("| store | processes | calls | killed | requests a minute | tokens a minute | requests a day |");
    println!("|---|---|---|---|---|---|---|");
    let ledger::Highest { requests, tokens, day, .. } = highest;
    let processes = size.processes;
    println!(
        "| SQLite | {processes} | {calls} | {kills} | {requests} of {RPM} | {tokens} of {TPM} | {day} of {} |",
        rpd(1)
    );
}
