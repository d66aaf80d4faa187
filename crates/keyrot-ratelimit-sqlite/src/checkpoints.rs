//! Folds SQLite's log into the file now and then. That waits for the disk, for tens of milliseconds if
//! it is busy, so a thread of its own does it and no call waits for it.

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
/// Pages in the log (64 MiB) at which writers are held up until the log can begin anew. While all of
/// them write without a pause it never could.
const TOO_LONG: i64 = 16_384;
/// Pages that are folded in quickly enough to hold up writers meanwhile.
const FEW: i64 = 256;
/// How long a moment between two writers is looked for.
const WITHIN: Duration = Duration::from_millis(500);

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
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(WITHIN)?;
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
    stage.hold_ups.fetch_add(1, Ordering::AcqRel);
    let restarted = connection.query_one("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    stage.hold_ups.fetch_add(1, Ordering::AcqRel);
    restarted
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
}
