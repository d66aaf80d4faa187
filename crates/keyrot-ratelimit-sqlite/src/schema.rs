//! The tables of the file.

use rusqlite::{Connection, OptionalExtension, params};

/// `kyrt`: tells the file from other people's databases.
pub(crate) const APPLICATION: i32 = 0x6b79_7274;
/// Of the tables; records have a version of their own.
pub(crate) const VERSION: i32 = 1;

/// A record's `name` says what it is: `quota:PROJECT/MODEL`, `scope:...`, `issuer:...`, `counter:KEY`.
/// One table for all of them: what a call changes often stands on one page. `generation` is that of
/// the last change of a scope; `memory` tells a pool from one of the same name in a file that is gone.
const TABLES: &str = "
    CREATE TABLE pool (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        generation INTEGER NOT NULL,
        pruned_at INTEGER NOT NULL,
        memory INTEGER NOT NULL
    );
    CREATE TABLE record (
        pool INTEGER NOT NULL,
        name TEXT NOT NULL,
        bytes BLOB NOT NULL,
        keep_until INTEGER NOT NULL,
        generation INTEGER,
        PRIMARY KEY (pool, name)
    ) WITHOUT ROWID;
    CREATE INDEX changed ON record (pool, generation) WHERE generation IS NOT NULL;
";

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    Us,
    /// A keyrot that is newer, with the version of its tables.
    Newer(i32),
    Others,
}

pub(crate) fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application == APPLICATION {
        return Ok(if version == VERSION { Owner::Us } else { Owner::Newer(version) });
    }
    let tables: i64 = connection.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if application == 0 && version == 0 && tables == 0 { Owner::Nobody } else { Owner::Others })
}

/// Makes the tables in a transaction of the caller's.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// A pool in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) id: i64,
    /// Another one if the pool was made anew.
    pub(crate) memory: i64,
}

/// The pool of this name, which is made if there is none yet.
pub(crate) fn pool(connection: &Connection, name: &str, memory: i64) -> rusqlite::Result<Pool> {
    let known = connection.query_one("SELECT id, memory FROM pool WHERE name = ?1", [name], |row| {
        Ok(Pool { id: row.get(0)?, memory: row.get(1)? })
    });
    match known.optional()? {
        Some(pool) => Ok(pool),
        None => {
            let insert = "INSERT INTO pool (name, generation, pruned_at, memory) VALUES (?1, 0, 0, ?2)";
            connection.execute(insert, params![name, memory])?;
            Ok(Pool { id: connection.last_insert_rowid(), memory })
        }
    }
}
