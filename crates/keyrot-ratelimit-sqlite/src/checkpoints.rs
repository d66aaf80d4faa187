//! Folds SQLite's log into the file now and then. That waits for the disk, for tens of milliseconds if
//! it is busy, so a thread of its own does it and no call waits for it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::file;

/// Commits of this process after which the log is folded in.
const EVERY: u32 = 1_000;
/// A log that was left behind by processes of a few commits each is folded in at the first of ours.
const LEFT_BEHIND: u64 = 4 << 20;
/// Pages in the log (32 MiB) at which writers are held up until the log can begin anew. While all of
/// them write without a pause it never could.
const TOO_LONG: i64 = 8_192;
/// What a log keeps of the disk when it begins anew: more than it needs then. Room that is given back
/// and asked for again costs a busy writer a fifth of its time.
pub(crate) const LOG_BYTES: i64 = 48 << 20;
/// Pages that are folded in quickly enough to hold up writers meanwhile.
const FEW: i64 = 256;
/// A moment between two writers is looked for so often. SQLite's own way looks less and less often, up
/// to 100 ms apart, and what it has to fold in, while writers wait, grows meanwhile.
const PAUSE: Duration = Duration::from_micros(50);
const PAUSES: i32 = 4_000;

/// What the two threads tell each other.
#[derive(Default)]
struct Stage {
    /// The next commit begins the log anew. SQLite has the disk confirm that before it goes on.
    folded_in: AtomicBool,
    /// Goes up when writers are held up and when they are let go: odd meanwhile.
    hold_ups: AtomicU32,
}

pub(crate) struct Checkpoints {
    path: Arc<Path>,
    due: Option<SyncSender<()>>,
    commits: u32,
    stage: Arc<Stage>,
    /// The transaction that is under way began after the log was folded in.
    begins_log: bool,
    /// `hold_ups` when it began.
    hold_ups: u32,
}

impl Checkpoints {
    pub(crate) fn new(path: Arc<Path>) -> Self {
        Self { path, due: None, commits: 0, stage: Arc::default(), begins_log: false, hold_ups: 0 }
    }

    /// The log may have been left behind long.
    pub(crate) fn opened(&mut self) {
        let log = std::fs::metadata(file::beside(&self.path, "-wal"));
        if log.is_ok_and(|log| log.len() > LEFT_BEHIND) {
            self.commits = EVERY;
        }
    }

    /// Whether the next commit has to.
    pub(crate) fn wait_for_disk(&self) -> bool {
        self.stage.folded_in.load(Ordering::Acquire)
    }

    pub(crate) fn about_to_commit(&mut self) {
        self.begins_log = self.stage.folded_in.load(Ordering::Acquire);
        self.hold_ups = self.stage.hold_ups.load(Ordering::Acquire);
    }

    /// Whether it was this process itself that held up its writer since it was about to commit.
    pub(crate) fn held_up(&self) -> bool {
        self.hold_ups % 2 == 1 || self.hold_ups != self.stage.hold_ups.load(Ordering::Acquire)
    }

    pub(crate) fn committed(&mut self) {
        if self.begins_log {
            self.stage.folded_in.store(false, Ordering::Release);
        }
        self.commits += 1;
        if self.commits < EVERY {
            return;
        }
        self.commits = 0;
        if self.due.is_none() {
            self.due = start(Arc::clone(&self.path), Arc::clone(&self.stage));
        }
        if let Some(due) = &self.due {
            let _ = due.try_send(()); // one that is under way will do
        }
    }
}

/// Ends with the sender. Without a thread the log grows, and is tried again.
fn start(path: Arc<Path>, stage: Arc<Stage>) -> Option<SyncSender<()>> {
    let (sender, due) = sync_channel(1);
    let thread = std::thread::Builder::new().name("keyrot-sqlite-log".to_owned());
    thread.spawn(move || run(&path, &due, &stage)).ok().map(|_| sender)
}

fn run(path: &Path, due: &Receiver<()>, stage: &Stage) {
    while due.recv().is_ok() {
        if let Err(error) = fold_in(path, stage) {
            tracing::debug!(%error, path = %path.display(), "the log of a file of limits was not folded in");
        }
        stage.folded_in.store(true, Ordering::Release);
    }
}

fn fold_in(path: &Path, stage: &Stage) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_handler(Some(look_again))?;
    for _ in 0..4 {
        let (pages, folded_in) = connection.query_one("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?;
        if pages < TOO_LONG {
            return Ok(());
        }
        if pages - folded_in < FEW {
            break;
        }
    }
    // the less the disk has still to confirm, the shorter writers wait; SQLite tells what is wrong with it
    let _ = File::open(file::beside(path, "-wal")).and_then(|log| log.sync_data());
    stage.hold_ups.fetch_add(1, Ordering::AcqRel);
    let restarted = connection.query_one("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    stage.hold_ups.fetch_add(1, Ordering::AcqRel);
    restarted
}

/// Whether to, `looked` times having been in vain.
fn look_again(looked: i32) -> bool {
    #[expect(clippy::disallowed_methods, reason = "SQLite has no way to be told that a lock is free")]
    std::thread::sleep(PAUSE);
    looked < PAUSES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_commit_after_the_log_is_folded_in_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path().join("state.db").into());
        for _ in 1..EVERY {
            checkpoints.about_to_commit();
            checkpoints.committed();
            assert!(!checkpoints.wait_for_disk());
        }
        checkpoints.about_to_commit();
        checkpoints.committed();
        while !checkpoints.wait_for_disk() {
            std::thread::yield_now();
        }
        checkpoints.committed();
        assert!(checkpoints.wait_for_disk(), "that one began before");
        checkpoints.about_to_commit();
        checkpoints.committed();
        assert!(!checkpoints.wait_for_disk());
    }

    #[test]
    fn the_log_begins_anew_while_a_writer_never_pauses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let log = file::beside(&path, "-wal");
        let (stage, ends) = (Stage::default(), AtomicBool::new(false));
        let write_until_the_end = || {
            let connection = Connection::open(&path).unwrap();
            let table = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; \
                CREATE TABLE t (bytes BLOB); INSERT INTO t VALUES (zeroblob(100000))";
            connection.execute_batch(table).unwrap();
            connection.busy_timeout(Duration::from_secs(30)).unwrap();
            let write = || connection.execute_batch("UPDATE t SET bytes = randomblob(100000)").unwrap();
            while !ends.load(Ordering::Acquire) {
                write();
            }
            write();
            let log = connection.query_one("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
            log.unwrap()
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(write_until_the_end);
            let too_long = TOO_LONG as u64 * 4200; // a page and what the log says of it
            let is_short = || std::fs::metadata(&log).map_or(0, |log| log.len()) <= too_long;
            while is_short() && !writer.is_finished() {
                std::thread::yield_now();
            }
            fold_in(&path, &stage).unwrap();
            ends.store(true, Ordering::Release);
            assert!(writer.join().unwrap() < TOO_LONG, "it has not begun anew");
        });
        assert_eq!(stage.hold_ups.load(Ordering::Acquire), 2);
    }
}
