//! Many processes on one file, killed at random: no limit is ever exceeded, no grant and no report is lost, the file stays
//! sound. `cargo xtask bench race` runs the same at full size.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{Clock, CounterRecord, QuotaRecord, RateLimiter, ScopeRecord};
use keyrot_ratelimit_sqlite::SqliteOptions;
use keyrot_testkit::race::{Race, call_if_started_by_a_race};
use rusqlite::Connection;

fn open(path: &str, clock: Arc<dyn Clock>) -> Arc<dyn RateLimiter> {
    Arc::new(SqliteOptions::new(path).timeout(Duration::from_secs(30)).clock(clock).limiter().unwrap())
}

#[test]
fn killed_processes_lose_no_grant_and_exceed_no_limit() {
    call_if_started_by_a_race(open);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let arguments = ["--exact", "killed_processes_lose_no_grant_and_exceed_no_limit", "--nocapture"];
    let place = path.to_str().unwrap();
    Race { place, open, arguments: &arguments, speed: 150, processes: 8, calls: 40_000, kills: 100 }.run();
    look_at_the_file(&path);
}

/// It is sound, and so is each record by itself.
fn look_at_the_file(path: &Path) {
    let file = Connection::open(path).unwrap();
    let sound: String = file.query_one("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut beside = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let moved =
        beside.find(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains("damaged"));
    assert!(moved.is_none(), "nothing was damaged: {moved:?}");
    let mut rows = file.prepare("SELECT name, bytes FROM record").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)));
    for (name, bytes) in rows.unwrap().map(Result::unwrap) {
        let read = match name.split(':').next() {
            Some("quota") => QuotaRecord::from_bytes(&bytes).map(drop),
            Some("scope") => ScopeRecord::from_bytes(&bytes).map(drop),
            Some("counter") => CounterRecord::from_bytes(&bytes).map(drop),
            _ => Ok(()),
        };
        assert!(read.is_ok(), "{name}: {read:?}");
    }
}
