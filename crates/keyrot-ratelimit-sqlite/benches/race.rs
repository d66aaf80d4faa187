//! The race of tests/race.rs at full size. `cargo xtask bench race` prints the row that docs/performance.md shows.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a report for people; it ends at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{Clock, RateLimiter};
use keyrot_ratelimit_sqlite::SqliteOptions;
use keyrot_testkit::race::{Outcome, Race, call_if_started_by_a_race};

fn open(path: &str, clock: Arc<dyn Clock>) -> Arc<dyn RateLimiter> {
    let options = SqliteOptions::new(path).timeout(Duration::from_secs(30)).clock(clock);
    Arc::new(options.limiter().expect("a limiter"))
}

fn main() {
    call_if_started_by_a_race(open);
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"race".contains(&filter) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let place = path.to_str().expect("a path in UTF-8");
    let race = Race { place, open, arguments: &[], speed: 1000, processes: 8, calls: 200_000, kills: 100 };
    println!("{}\n{}", Outcome::HEAD, race.run().row("SQLite", race.processes));
}
