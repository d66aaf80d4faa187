//! A file in a folder of its own, and somebody who uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{
    Ask, Candidate, Disposition, Group, GroupUsage, KeyId, LimiterError, Limits, ManualClock, RateLimiter,
    Reservation, Reserved, SettleBatch, Settlement, Verdict,
};
use keyrot_ratelimit_sqlite::{SqliteLimiter, SqliteOptions};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) clock: ManualClock,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: ManualClock::default() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.path()).timeout(Duration::from_secs(20)).clock(Arc::new(self.clock.clone()))
    }

    /// One more process, as far as the file can tell.
    pub(crate) fn limiter(&self) -> SqliteLimiter {
        self.options().limiter().unwrap()
    }

    /// Somebody who looks into the file, or spoils it.
    pub(crate) fn open(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        connection
    }

    pub(crate) fn rows(&self) -> Vec<String> {
        let connection = self.open();
        let mut statement = connection.prepare("SELECT name FROM record ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// Files beside the one of the limits whose names hold `part`.
    pub(crate) fn files(&self, part: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_str().unwrap().contains(part)).collect()
    }
}

/// Ten requests a minute in a project.
pub(crate) fn candidate(project: &str) -> Candidate {
    let group = Group { project: project.into(), model: "m".into() };
    let key = KeyId::parse("k").unwrap();
    Candidate { group: Arc::new(group), limits: Limits::new(Some(10), None, Some(500)), key }
}

pub(crate) async fn reserve(limiter: &SqliteLimiter, of: &Candidate) -> Result<Reserved, LimiterError> {
    let ask = Ask { tokens: 10, probe_ttl: Duration::from_secs(60) };
    limiter.reserve(std::slice::from_ref(of), &[ask], u64::MAX).await
}

pub(crate) async fn take(limiter: &SqliteLimiter, of: &Candidate) -> Reservation {
    reserve(limiter, of).await.unwrap().grants.pop().unwrap().reservation
}

/// A batch of a process; each needs an epoch of its own.
pub(crate) fn batch(epoch: u64, settled: Vec<Reservation>, verdicts: Vec<Verdict>) -> SettleBatch {
    let disposition = Disposition::Sent { input_tokens: None, proven: true };
    let settle = |reservation| Settlement { reservation, disposition };
    let settlements = settled.into_iter().map(settle).collect();
    SettleBatch { epoch, number: 1, settlements, verdicts, ..SettleBatch::default() }
}

pub(crate) async fn usage(limiter: &SqliteLimiter, of: &Candidate) -> GroupUsage {
    limiter.snapshot(std::slice::from_ref(of), &[], &[]).await.unwrap().groups[0]
}
