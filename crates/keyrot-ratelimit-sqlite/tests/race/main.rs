//! Many processes on one file, killed at random: no limit is ever exceeded, no grant is lost, the file
//! stays sound. `cargo xtask bench race` runs the same at full size.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod caller;
mod driver;
mod ledger;

use driver::Size;

#[test]
#[expect(clippy::disallowed_methods, reason = "this test starts itself as another process")]
fn killed_processes_lose_no_grant_and_exceed_no_limit() {
    if let Ok(role) = std::env::var(driver::ROLE) {
        return caller::call_until_killed(&role);
    }
    let arguments = ["--exact", "killed_processes_lose_no_grant_and_exceed_no_limit", "--nocapture"];
    let size = Size { processes: 4, calls: 40_000, kills: 100 };
    let outcome = driver::race(&size, &arguments);
    assert!(outcome.calls >= size.calls && outcome.kills >= size.kills, "{outcome:?}");
    let highest = outcome.highest;
    let reached = highest.requests == caller::RPM && highest.day + 10 > caller::rpd(1);
    assert!(reached && highest.full_windows > 20, "limits were never reached: {outcome:?}");
}
