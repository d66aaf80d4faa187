//! Which batches of an issuer have arrived, so that a repeat is recognised.

use crate::limit::Millis;

/// How many batches of one issuer are remembered to recognise a repeat; older ones count as seen.
const REMEMBERED_BATCHES: u64 = 1024;

/// The latest batches that one issuer has sent: bit `number % REMEMBERED_BATCHES` of `seen`.
#[derive(Default)]
pub(crate) struct Issuer {
    newest: Option<u64>,
    seen: [u64; (REMEMBERED_BATCHES / 64) as usize],
    pub(crate) heard_at: Millis,
}

impl Issuer {
    /// True the first time a batch is seen.
    pub(crate) fn is_new(&mut self, number: u64) -> bool {
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

    fn word(number: u64) -> usize {
        (number % REMEMBERED_BATCHES / 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_of_an_issuer_is_new_twice() {
        let mut issuer = Issuer::default();
        for number in 0..5_000 {
            assert!(issuer.is_new(number));
            assert!(!issuer.is_new(number / 2) && !issuer.is_new(number));
        }
        assert!(!issuer.is_new(0));
        assert!(issuer.is_new(7_000) && issuer.is_new(6_500) && !issuer.is_new(7_000));
        assert!(!issuer.is_new(5_976), "too old to tell");
    }
}
