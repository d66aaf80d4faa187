//! What was counted of a key, over all processes that share a limiter. Pure.

use crate::key::KeyId;
use crate::limit::{LimiterError, Millis};
use crate::record_bytes::{LARGEST, Writer, broken, open};

/// How long after its last use a key's counters are kept.
pub const COUNTERS_KEPT_FOR: Millis = 8 * 24 * 3600 * 1000;

const WHAT: &str = "counter record";
const VERSION: u8 = 1;
const LENGTH: usize = 25;

/// Calls of one key, to be added to its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Which key.
    pub key: KeyId,
    /// When the last of these calls was leased, by the limiter's time.
    pub used_at: Millis,
    /// Calls that completed.
    pub successes: u32,
    /// Calls that failed, the callers' own faults aside.
    pub errors: u32,
    /// Calls whose lease was dropped without a report.
    pub abandoned: u32,
}

/// The counters of one key; everything 0 if nobody has used it for 8 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterRecord {
    /// When a call was last leased with it; 0: never.
    pub last_used: Millis,
    /// Calls that completed.
    pub successes: u64,
    /// Calls that failed, the callers' own faults aside.
    pub errors: u64,
    /// Calls whose lease was dropped without a report.
    pub abandoned: u64,
}

impl CounterRecord {
    /// Adds calls.
    pub fn add(&mut self, tally: &Tally) {
        self.last_used = self.last_used.max(tally.used_at).min(LARGEST);
        self.successes = (self.successes + u64::from(tally.successes)).min(LARGEST);
        self.errors = (self.errors + u64::from(tally.errors)).min(LARGEST);
        self.abandoned = (self.abandoned + u64::from(tally.abandoned)).min(LARGEST);
    }

    /// The record as bytes; the first one is the version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.u8(VERSION);
        to.u48(self.last_used);
        to.u48(self.successes);
        to.u48(self.errors);
        to.u48(self.abandoned);
        to.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Incompatible`](crate::LimiterErrorKind::Incompatible) for a newer version and for what no
    /// keyrot wrote. Leave such a record as it is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LimiterError> {
        let mut from = open(bytes, WHAT, VERSION)?;
        if bytes.len() != LENGTH {
            return Err(broken(WHAT, &format!("it has {} bytes, not {LENGTH}", bytes.len())));
        }
        Ok(Self { last_used: from.u48(), successes: from.u48(), errors: from.u48(), abandoned: from.u48() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_the_last_use_never_goes_back() {
        let mut record = CounterRecord::default();
        let key = KeyId::parse("k").unwrap();
        let tally = Tally { key, used_at: 2_000, successes: 2, errors: 1, abandoned: 0 };
        record.add(&tally);
        record.add(&Tally { used_at: 1_000, abandoned: 3, ..tally.clone() });
        let expected = CounterRecord { last_used: 2_000, successes: 4, errors: 2, abandoned: 3 };
        assert_eq!(record, expected);
        assert_eq!(CounterRecord::from_bytes(&record.to_bytes()).unwrap(), record);
        record.successes = LARGEST;
        record.add(&tally);
        assert_eq!(record.successes, LARGEST);
    }

    #[test]
    fn a_newer_version_or_another_length_is_refused() {
        let mut bytes = CounterRecord::default().to_bytes();
        assert!(CounterRecord::from_bytes(&bytes[1..]).is_err());
        bytes[0] = 2;
        let error = CounterRecord::from_bytes(&bytes).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
