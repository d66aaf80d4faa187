//! What the replies of several scripts have in common.

use keyrot_core::{ScopeChange, ScopeRecord};
use redis::Value;

/// A scope that changed, and in which generation.
pub(crate) struct Changed {
    pub(crate) generation: u64,
    pub(crate) change: ScopeChange,
}

pub(crate) fn bytes_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// Triples of name, generation and record. A scope of a kind that a newer keyrot added is left out:
/// this one could not heed it.
pub(crate) fn changes(mut parts: impl Iterator<Item = Value>) -> Option<Vec<Changed>> {
    let mut changed = Vec::new();
    while let Some(name) = parts.next() {
        let name = String::from_utf8(bytes_of(name)?).ok()?;
        let generation = String::from_utf8(bytes_of(parts.next()?)?).ok()?.parse().ok()?;
        let record = bytes_of(parts.next()?)?;
        let record =
            if record.is_empty() { Ok(ScopeRecord::default()) } else { ScopeRecord::from_bytes(&record) };
        if let (Ok(scope), Ok(record)) = (name.parse(), record) {
            changed.push(Changed { generation, change: ScopeChange { scope, record } });
        }
    }
    Some(changed)
}
