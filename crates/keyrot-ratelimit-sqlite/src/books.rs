//! The records of a pool during one transaction. Each is read at most once and written at most once,
//! however many questions of the transaction touch it. What the last transaction knew is not read again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use keyrot_core::books::{COUNTERS_KEPT_FOR, Home, ISSUER_KEPT_FOR, IssuerRecord, SCOPE_KEPT_FOR};
use keyrot_core::{
    CounterRecord, Group, KeyId, LimiterError, Millis, QuotaRecord, Scope, ScopeChange, ScopeRecord, Tally,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::sql_error;
use crate::kept::Kept;

const READ: &str = "SELECT bytes FROM record WHERE pool = ?1 AND name = ?2";
/// Most records are there already, and an update costs less than an insert that finds one in its way.
const UPDATE: &str = "UPDATE record SET bytes = ?3, keep_until = ?4 WHERE pool = ?1 AND name = ?2";
const INSERT: &str = "INSERT INTO record (pool, name, bytes, keep_until) VALUES (?1, ?2, ?3, ?4)";
const WRITE_SCOPE: &str = "INSERT INTO record (pool, name, bytes, keep_until, generation) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET bytes = excluded.bytes, \
     keep_until = excluded.keep_until, generation = excluded.generation";
const CHANGED: &str =
    "SELECT name, bytes FROM record WHERE pool = ?1 AND generation > ?2 ORDER BY generation";
const LIVING: &str = "SELECT count(*) FROM record \
     WHERE pool = ?1 AND name > 'process:' AND name < 'process;' AND keep_until > ?2";
const POOL: &str = "SELECT generation, pruned_at FROM pool WHERE id = ?1";
const SET_GENERATION: &str = "UPDATE pool SET generation = ?2 WHERE id = ?1";
const PRUNE: &str = "DELETE FROM record WHERE keep_until <= ?1";
const PRUNED: &str = "UPDATE pool SET pruned_at = ?1";

/// A process that says no more is counted for so long.
const LIVES_FOR: Millis = 10_000;

/// How often what is no longer needed is dropped, by whichever process comes by.
const PRUNE_EVERY: Millis = 3600 * 1000;

pub(crate) struct Books<'t> {
    connection: &'t Connection,
    path: &'t Path,
    pool: i64,
    now: Millis,
    generation: i64,
    pruned_at: i64,
    /// Numbers of reservations, over all transactions of this writer.
    reservations: &'t mut u64,
    /// Records as they stand in the file.
    kept: Kept,
    // and as they are now, if the transaction has touched them
    quotas: HashMap<Arc<Group>, QuotaRecord>,
    issuers: HashMap<u64, IssuerRecord>,
    counters: HashMap<KeyId, CounterRecord>,
}

impl<'t> Books<'t> {
    pub(crate) fn open(
        connection: &'t Connection,
        path: &'t Path,
        pool: i64,
        now: Millis,
        reservations: &'t mut u64,
        mut kept: Kept,
    ) -> Result<Self, LimiterError> {
        let mut read = || {
            kept.still_holds(connection)?;
            if let Some(row) = kept.pool {
                return Ok(row);
            }
            connection.prepare_cached(POOL)?.query_one([pool], |row| Ok((row.get(0)?, row.get(1)?)))
        };
        let (generation, pruned_at) = read().map_err(|error| sql_error(path, error))?;
        Ok(Self {
            connection,
            path,
            pool,
            now,
            generation,
            pruned_at,
            reservations,
            kept,
            quotas: HashMap::new(),
            issuers: HashMap::new(),
            counters: HashMap::new(),
        })
    }

    /// Writes what has changed.
    pub(crate) fn write_back(&mut self) -> Result<(), LimiterError> {
        for (group, record) in std::mem::take(&mut self.quotas) {
            let is_news = match self.kept.quotas.get(&group) {
                Some(Some(before)) => record.is_news(before),
                _ => record.is_news(&QuotaRecord::default()),
            };
            if is_news {
                self.write(&quota(&group), &record.to_bytes(), record.kept_until())?;
                self.kept.quotas.insert(group, Some(record));
            }
        }
        for (epoch, record) in std::mem::take(&mut self.issuers) {
            self.write(&issuer(epoch), &record.to_bytes(), record.heard_at + ISSUER_KEPT_FOR)?;
            self.kept.issuers.insert(epoch, record);
        }
        for (key, record) in std::mem::take(&mut self.counters) {
            // `last_used` is the caller's word and may be any
            let keep_until = record.last_used.max(self.now) + COUNTERS_KEPT_FOR;
            self.write(&counter(&key), &record.to_bytes(), keep_until)?;
            self.kept.counters.insert(key, record);
        }
        Ok(())
    }

    /// What the file holds once that is committed.
    pub(crate) fn close(mut self) -> Kept {
        self.kept.pool = Some((self.generation, self.pruned_at));
        self.kept.within_bounds()
    }

    /// Drops what is no longer needed, once in a while.
    pub(crate) fn prune(&mut self) -> Result<(), LimiterError> {
        if self.now.abs_diff(self.pruned_at.unsigned_abs()) < PRUNE_EVERY {
            return Ok(());
        }
        let prune = || {
            self.connection.prepare_cached(PRUNE)?.execute([stored(self.now)])?;
            self.connection.prepare_cached(PRUNED)?.execute([stored(self.now)])
        };
        prune().map_err(|error| sql_error(self.path, error))?;
        self.pruned_at = stored(self.now);
        self.kept.forget_records();
        Ok(())
    }

    /// Notes that a process lives; how many do.
    pub(crate) fn processes(&self, me: u64) -> Result<u32, LimiterError> {
        self.write(&format!("{PROCESS}{me:016x}"), &[], self.now + LIVES_FOR)?;
        let count = || {
            let mut statement = self.connection.prepare_cached(LIVING)?;
            statement.query_one(params![self.pool, stored(self.now)], |row| row.get(0))
        };
        count().map_err(|error| sql_error(self.path, error))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LimiterError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(READ)?;
            statement.query_one(params![self.pool, name], |row| row.get(0)).optional()
        };
        read().map_err(|error| sql_error(self.path, error))
    }

    fn write(&self, name: &str, bytes: &[u8], keep_until: Millis) -> Result<(), LimiterError> {
        let write = || {
            let values = params![self.pool, name, bytes, stored(keep_until)];
            match self.connection.prepare_cached(UPDATE)?.execute(values)? {
                0 => self.connection.prepare_cached(INSERT)?.execute(values).map(drop),
                _ => Ok(()),
            }
        };
        write().map_err(|error| sql_error(self.path, error))
    }

    /// The record, and whether there is one.
    fn page(&mut self, group: &Arc<Group>) -> Result<(&mut QuotaRecord, bool), LimiterError> {
        if !self.kept.quotas.contains_key(group) {
            let bytes = self.read(&quota(group))?;
            let record = bytes.map(|bytes| QuotaRecord::from_bytes(&bytes)).transpose()?;
            self.kept.quotas.insert(Arc::clone(group), record);
        }
        let stored = self.kept.quotas.get(group).and_then(Option::as_ref);
        let is_stored = stored.is_some();
        let record =
            self.quotas.entry(Arc::clone(group)).or_insert_with(|| stored.cloned().unwrap_or_default());
        Ok((record, is_stored))
    }
}

impl Home for Books<'_> {
    fn quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<R, LimiterError> {
        Ok(edit(self.page(group)?.0))
    }

    fn known_quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<Option<R>, LimiterError> {
        let (record, is_stored) = self.page(group)?;
        let known = is_stored || record.is_news(&QuotaRecord::default());
        Ok(known.then(|| edit(record)))
    }

    fn scope(&mut self, scope: &Scope) -> Result<Option<ScopeRecord>, LimiterError> {
        self.read(&named(scope))?.map(|bytes| ScopeRecord::from_bytes(&bytes)).transpose()
    }

    fn put_scope(
        &mut self,
        scope: &Scope,
        record: ScopeRecord,
        generation: u64,
        now: Millis,
    ) -> Result<(), LimiterError> {
        self.generation = stored(generation);
        let write = || {
            let keep_until = stored(now + SCOPE_KEPT_FOR);
            let values = params![self.pool, named(scope), record.to_bytes(), keep_until, self.generation];
            self.connection.prepare_cached(WRITE_SCOPE)?.execute(values)?;
            self.connection.prepare_cached(SET_GENERATION)?.execute([self.pool, self.generation])
        };
        write().map(drop).map_err(|error| sql_error(self.path, error))
    }

    fn generation(&mut self) -> Result<u64, LimiterError> {
        Ok(self.generation.unsigned_abs())
    }

    fn changed_since(&mut self, seen: u64) -> Result<Vec<ScopeChange>, LimiterError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(CHANGED)?;
            let rows =
                statement.query_map([self.pool, stored(seen)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, Vec<u8>)>>>()
        };
        let rows = read().map_err(|error| sql_error(self.path, error))?;
        let change = |(name, bytes): (String, Vec<u8>)| {
            let scope = name.strip_prefix(SCOPE).unwrap_or(&name).parse()?;
            Ok(ScopeChange { scope, record: ScopeRecord::from_bytes(&bytes)? })
        };
        rows.into_iter().map(change).collect()
    }

    fn is_new(&mut self, epoch: u64, number: u64, now: Millis) -> Result<bool, LimiterError> {
        let known = self.issuers.contains_key(&epoch) || self.kept.issuers.contains_key(&epoch);
        if !known {
            let bytes = self.read(&issuer(epoch))?;
            let record = bytes.map(|bytes| IssuerRecord::from_bytes(&bytes)).transpose()?;
            self.issuers.insert(epoch, record.unwrap_or_default());
        }
        let stored = || self.kept.issuers.get(&epoch).cloned().unwrap_or_default();
        let record = self.issuers.entry(epoch).or_insert_with(stored);
        record.heard_at = now;
        Ok(record.is_new(number))
    }

    fn count(&mut self, tally: &Tally, _now: Millis) -> Result<(), LimiterError> {
        let mut record = self.counted(&tally.key)?;
        record.add(tally);
        self.counters.insert(tally.key.clone(), record);
        Ok(())
    }

    fn counted(&mut self, key: &KeyId) -> Result<CounterRecord, LimiterError> {
        if let Some(record) = self.counters.get(key).or_else(|| self.kept.counters.get(key)) {
            return Ok(*record);
        }
        let bytes = self.read(&counter(key))?;
        Ok(bytes.map(|bytes| CounterRecord::from_bytes(&bytes)).transpose()?.unwrap_or_default())
    }

    fn next_reservation(&mut self) -> u64 {
        *self.reservations += 1;
        *self.reservations
    }
}

const SCOPE: &str = "scope:";
const PROCESS: &str = "process:";

fn quota(group: &Group) -> String {
    format!("quota:{}", group.name())
}

fn named(scope: &Scope) -> String {
    format!("{SCOPE}{}", scope.name())
}

fn issuer(epoch: u64) -> String {
    format!("issuer:{epoch:016x}")
}

fn counter(key: &KeyId) -> String {
    format!("counter:{}", key.as_str())
}

/// SQLite's integers have a sign.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
