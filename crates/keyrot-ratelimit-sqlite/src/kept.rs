//! What a writer knows of the file from its last transaction. It holds as long as nobody else has
//! written: SQLite tells that for less than reading one record costs.

use std::collections::HashMap;
use std::sync::Arc;

use keyrot_core::books::IssuerRecord;
use keyrot_core::{CounterRecord, Group, KeyId, QuotaRecord};
use rusqlite::Connection;

/// Another number once another connection has committed since this one asked last.
const VERSION: &str = "PRAGMA data_version";

/// Records beyond which all are read anew: memory stays small however many groups there are.
const MOST: usize = 4_096;

/// Records as they stand in the file; nothing is said of those that are not here.
#[derive(Default)]
pub(crate) struct Kept {
    version: Option<i64>,
    /// The pool's generation and when it was pruned.
    pub(crate) pool: Option<(i64, i64)>,
    /// `None`: the file has no record of the group.
    pub(crate) quotas: HashMap<Arc<Group>, Option<QuotaRecord>>,
    pub(crate) issuers: HashMap<u64, IssuerRecord>,
    pub(crate) counters: HashMap<KeyId, CounterRecord>,
}

impl Kept {
    /// Within a transaction: forgets all if somebody else has written.
    pub(crate) fn still_holds(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = connection.prepare_cached(VERSION)?.query_one([], |row| row.get(0))?;
        if self.version != Some(version) {
            *self = Self { version: Some(version), ..Self::default() };
        }
        Ok(())
    }

    /// Rows were dropped.
    pub(crate) fn forget_records(&mut self) {
        *self = Self { version: self.version, pool: self.pool, ..Self::default() };
    }

    pub(crate) fn within_bounds(mut self) -> Self {
        if self.quotas.len() + self.issuers.len() + self.counters.len() > MOST {
            self.forget_records();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_so_many_records_are_not_kept() {
        let mut kept = Kept { version: Some(1), pool: Some((2, 3)), ..Kept::default() };
        let issuers = |count| (0..count as u64).map(|epoch| (epoch, IssuerRecord::default())).collect();
        kept.issuers = issuers(MOST);
        kept = kept.within_bounds();
        assert_eq!(kept.issuers.len(), MOST);
        kept.issuers = issuers(MOST + 1);
        kept = kept.within_bounds();
        assert!(kept.issuers.is_empty() && kept.version == Some(1) && kept.pool == Some((2, 3)));
    }
}
