//! An open file: found sound or moved aside, with our tables in it.

use std::path::Path;
use std::time::{Duration, Instant};

use keyrot_core::{LimiterError, Millis};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::checkpoints::LOG_BYTES;
use crate::error::{is_busy, is_damage, not_ours, sql_error};
use crate::file::{self, Identity};
use crate::kept::Kept;
use crate::patience::Patience;
use crate::schema::{self, Owner, Pool};

/// How often it is looked whether the file is still there: that takes a twentieth of a transaction.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is to be opened.
pub(crate) struct Place<'p> {
    pub(crate) path: &'p Path,
    pub(crate) pool: &'p str,
    /// What the pool will be known by if it has to be made.
    pub(crate) new_memory: i64,
    pub(crate) now: Millis,
    pub(crate) looked_at: Instant,
}

pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) pool: Pool,
    /// Taken by a transaction and put back when it is committed.
    pub(crate) kept: Kept,
    identity: Identity,
    /// When the file was last seen to be in its place.
    looked_at: Instant,
}

impl Session {
    /// Opens the file, and makes it if there is none. One that is no database is moved aside; with
    /// `suspect`, because its contents turned out to be broken, all of it is looked at first.
    pub(crate) fn open(
        place: &Place<'_>,
        suspect: bool,
        patience: &mut Patience<'_>,
    ) -> Result<Self, LimiterError> {
        let path = place.path;
        let _lock = file::lock(path, patience)?;
        file::make(path)?;
        match Self::open_sound(place, suspect, patience) {
            Err(error) if is_damage(&error) => {
                let aside = file::move_aside(path, place.now)?;
                tracing::warn!(
                    path = %path.display(),
                    moved_to = %aside.display(),
                    %error,
                    "a damaged file of limits was moved aside: counting begins anew"
                );
                file::make(path)?;
                Self::open_sound(place, false, patience)
            }
            done => done,
        }
    }

    fn open_sound(
        place: &Place<'_>,
        suspect: bool,
        patience: &mut Patience<'_>,
    ) -> Result<Self, LimiterError> {
        loop {
            match Self::try_open(place, suspect) {
                Err(error) if is_busy(&error) && patience.pause() => {}
                done => return done,
            }
        }
    }

    fn try_open(place: &Place<'_>, suspect: bool) -> Result<Self, LimiterError> {
        let path = place.path;
        let sql = |error| sql_error(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
        connection.busy_timeout(Duration::ZERO).map_err(sql)?; // see patience.rs
        if suspect {
            check(&connection).map_err(sql)?;
        }
        match schema::owner(&connection).map_err(sql)? {
            Owner::Us | Owner::Nobody => {}
            Owner::Newer(version) => {
                let known = schema::VERSION;
                let what = format!("of a newer keyrot (tables of version {version}, this one knows {known})");
                return Err(not_ours(path, &what));
            }
            Owner::Others => return Err(not_ours(path, "a SQLite database of something else")),
        }
        set_up(&connection).map_err(sql)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
        if schema::owner(&connection).map_err(sql)? == Owner::Nobody {
            schema::create(&connection).map_err(sql)?;
        }
        let pool = schema::pool(&connection, place.pool, place.new_memory).map_err(sql)?;
        connection.execute_batch("COMMIT").map_err(sql)?;
        Ok(Self {
            connection,
            pool,
            kept: Kept::default(),
            identity: file::identity(path),
            looked_at: place.looked_at,
        })
    }

    /// False if the file was moved or removed since: what is written to it is lost, as if it had been written
    /// just before. So it is enough to look now and then.
    pub(crate) fn is_in_place(&mut self, path: &Path, now: Instant) -> bool {
        if now.saturating_duration_since(self.looked_at) < LOOK_EVERY {
            return true;
        }
        let is_there = file::identity(path) == self.identity;
        if is_there {
            self.looked_at = now;
        }
        is_there
    }

    /// `to_write`: nobody else writes until the end of the transaction.
    pub(crate) fn begin(&self, to_write: bool) -> rusqlite::Result<()> {
        let statement = if to_write { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    pub(crate) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Ends a transaction that may have ended by itself.
    pub(crate) fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // a commit outlives the process; the end of the whole system may cost the last ones
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?; // see checkpoints.rs
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)
}

fn check(connection: &Connection) -> rusqlite::Result<()> {
    let found: String = connection.query_one("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let code = ffi::Error { code: ErrorCode::DatabaseCorrupt, extended_code: ffi::SQLITE_CORRUPT };
    Err(rusqlite::Error::SqliteFailure(code, Some(found)))
}
