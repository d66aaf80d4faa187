//! Hash maps of the hot path: keyed by names from keys.json, which nobody hostile chooses, so a
//! hasher for short strings serves better than the standard library's keyed one.

use std::collections::HashMap;

/// A map with a fast, fixed hasher.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;
