//! Which batches of an issuer have arrived, so that a repeat is recognised.

use crate::limit::{LimiterError, Millis};
use crate::record_bytes::{Writer, broken, open};

/// How many batches of one issuer are remembered to recognise a repeat; older ones count as seen.
const REMEMBERED_BATCHES: u64 = 1024;
const WORDS: usize = (REMEMBERED_BATCHES / 64) as usize;

/// How long the batches of an issuer that has fallen silent are remembered: as long as a repeat could
/// still give back something of the same day.
pub const ISSUER_KEPT_FOR: Millis = 25 * 3600 * 1000;

const WHAT: &str = "issuer record";
const VERSION: u8 = 1;
const LENGTH: usize = 1 + 6 + 6 + 128;

/// The latest batches that one issuer has sent: bit `number % 1024` of `seen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerRecord {
    newest: Option<u64>,
    seen: [u64; WORDS],
    /// When it last sent one.
    pub heard_at: Millis,
}

impl IssuerRecord {
    /// True the first time a batch is seen. Numbers must be below 2^48 - 1.
    pub fn is_new(&mut self, number: u64) -> bool {
        let newest = *self.newest.get_or_insert(number);
        if number + REMEMBERED_BATCHES <= newest {
            return false;
        }
        if number > newest {
            for passed in (newest + 1..=number).take(REMEMBERED_BATCHES as usize) {
                self.seen[Self::word(passed)] &= !(1 << (passed % 64));
            }
            self.newest = Some(number);
        }
        let (word, bit) = (Self::word(number), 1 << (number % 64));
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }

    /// The record as bytes; the first one is the version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer(Vec::with_capacity(LENGTH));
        to.u8(VERSION);
        to.u48(self.heard_at);
        to.u48(self.newest.map_or(0, |newest| newest + 1));
        self.seen.iter().for_each(|word| to.u64(*word));
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
        Ok(Self {
            heard_at: from.u48(),
            newest: from.u48().checked_sub(1),
            seen: std::array::from_fn(|_| from.u64()),
        })
    }

    fn word(number: u64) -> usize {
        (number % REMEMBERED_BATCHES / 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_of_an_issuer_is_new_twice() {
        let mut issuer = IssuerRecord::default();
        for number in 0..5_000 {
            assert!(issuer.is_new(number));
            assert!(!issuer.is_new(number / 2) && !issuer.is_new(number));
            issuer = IssuerRecord::from_bytes(&issuer.to_bytes()).unwrap();
        }
        assert!(!issuer.is_new(0));
        assert!(issuer.is_new(7_000) && issuer.is_new(6_500) && !issuer.is_new(7_000));
        assert!(!issuer.is_new(5_976), "too old to tell");
    }

    #[test]
    fn its_bytes_keep_everything_and_a_newer_version_is_refused() {
        let mut issuer = IssuerRecord { heard_at: 1_767_614_400_000, ..IssuerRecord::default() };
        assert_eq!(IssuerRecord::from_bytes(&issuer.to_bytes()).unwrap(), issuer);
        issuer.is_new(0);
        issuer.is_new(999);
        let mut bytes = issuer.to_bytes();
        assert_eq!(IssuerRecord::from_bytes(&bytes).unwrap(), issuer);
        assert!(IssuerRecord::from_bytes(&bytes[..100]).is_err());
        bytes[0] = 9;
        assert!(IssuerRecord::from_bytes(&bytes).unwrap_err().to_string().contains("version 9"));
    }
}
