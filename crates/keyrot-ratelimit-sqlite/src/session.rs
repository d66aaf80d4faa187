//! An open file: found sound or moved aside, with our tables in it.

use std::path::Path;

use keyrot_core::{LimiterError, Millis};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::error::{is_busy, is_damage, not_ours, sql_error};
use crate::file::{self, Identity};
use crate::patience::Patience;
use crate::schema::{self, Owner};

/// When SQLite begins its log anew it cuts it down to this size.
const LOG_BYTES: i64 = 4 << 20;

pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// The number of the pool.
    pub(crate) pool: i64,
    identity: Identity,
}

impl Session {
    /// Opens the file, and makes it if there is none. One that is no database is moved aside; with
    /// `suspect`, because its contents turned out to be broken, all of it is looked at first.
    pub(crate) fn open(
        path: &Path,
        pool: &str,
        now: Millis,
        suspect: bool,
        patience: &mut Patience<'_>,
    ) -> Result<Self, LimiterError> {
        let _lock = file::lock(path, patience)?;
        file::make(path)?;
        match Self::open_sound(path, pool, suspect, patience) {
            Err(error) if is_damage(&error) => {
                let aside = file::move_aside(path, now)?;
                tracing::warn!(
                    "{} was damaged ({error}): it is now {}, and counting begins anew",
                    path.display(),
                    aside.display()
                );
                file::make(path)?;
                Self::open_sound(path, pool, false, patience)
            }
            done => done,
        }
    }

    fn open_sound(
        path: &Path,
        pool: &str,
        suspect: bool,
        patience: &mut Patience<'_>,
    ) -> Result<Self, LimiterError> {
        loop {
            match Self::try_open(path, pool, suspect) {
                Err(error) if is_busy(&error) && patience.pause() => {}
                done => return done,
            }
        }
    }

    fn try_open(path: &Path, pool: &str, suspect: bool) -> Result<Self, LimiterError> {
        let sql = |error| sql_error(path, error);
        let connection = prepare(path).map_err(sql)?;
        if suspect {
            check(&connection).map_err(sql)?;
        }
        connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
        match schema::owner(&connection).map_err(sql)? {
            Owner::Us => {}
            Owner::Nobody => schema::create(&connection).map_err(sql)?,
            Owner::Newer(version) => {
                let what = format!(
                    "of a newer keyrot (tables of version {version}, this one knows {})",
                    schema::VERSION
                );
                return Err(not_ours(path, &what));
            }
            Owner::Others => return Err(not_ours(path, "a SQLite database of something else")),
        }
        let pool = schema::pool(&connection, pool).map_err(sql)?;
        connection.execute_batch("COMMIT").map_err(sql)?;
        Ok(Self { connection, pool, identity: file::identity(path) })
    }

    /// False if the file was moved or removed since: what is written to it is lost.
    pub(crate) fn is_in_place(&self, path: &Path) -> bool {
        file::identity(path) == self.identity
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

fn prepare(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::ZERO)?; // see patience.rs
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // a commit is safe from the end of the process; the end of the system may cost the last ones
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?; // see checkpoints.rs
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    Ok(connection)
}

fn check(connection: &Connection) -> rusqlite::Result<()> {
    let found: String = connection.pragma_query_value(None, "quick_check(1)", |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let code = ffi::Error { code: ErrorCode::DatabaseCorrupt, extended_code: ffi::SQLITE_CORRUPT };
    Err(rusqlite::Error::SqliteFailure(code, Some(found)))
}
