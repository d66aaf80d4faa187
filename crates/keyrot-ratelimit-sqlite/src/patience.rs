//! How a writer waits for the writers of other processes.
//!
//! SQLite's own way doubles its pauses up to 100 ms, so that a commit which others hold up for a
//! millisecond may wait for half a second. Here the pauses are short and random, and whoever has waited
//! long asks more often than those who have just come.

use std::time::Duration;

const SHORTEST: u64 = 200;
const LONGEST: u64 = 2_000;
/// Who has waited that long in all asks more often, and after twice as long as often as can be.
const LONG: Duration = Duration::from_millis(5);
/// The longest pause of one who has waited long.
pub(crate) const LONGEST_OF_LONG: Duration = Duration::from_micros(2 * SHORTEST);

/// The pauses of one wait.
#[derive(Debug)]
pub(crate) struct Patience<'r> {
    rng: &'r mut fastrand::Rng,
    left: Duration,
    waited: Duration,
}

impl<'r> Patience<'r> {
    pub(crate) fn new(rng: &'r mut fastrand::Rng, within: Duration) -> Self {
        Self { rng, left: within, waited: Duration::ZERO }
    }

    /// Waits for a moment; false if the time is up.
    pub(crate) fn pause(&mut self) -> bool {
        let Some(pause) = self.next() else { return false };
        #[expect(clippy::disallowed_methods, reason = "SQLite has no way to be told that a lock is free")]
        std::thread::sleep(pause);
        true
    }

    fn next(&mut self) -> Option<Duration> {
        // of several who wait, whoever has waited longest is likely to be next
        let longest = match self.waited {
            waited if waited < LONG => LONGEST,
            waited if waited < 2 * LONG => 2 * SHORTEST,
            _ => SHORTEST,
        };
        let pause = Duration::from_micros(self.rng.u64(SHORTEST..=longest));
        self.left = self.left.checked_sub(pause)?;
        self.waited += pause;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_and_get_shorter_until_the_time_is_up() {
        let mut rng = fastrand::Rng::with_seed(7);
        let within = Duration::from_millis(100);
        let mut patience = Patience::new(&mut rng, within);
        let mut waited = Duration::ZERO;
        while let Some(pause) = patience.next() {
            assert!((SHORTEST..=LONGEST).contains(&(pause.as_micros() as u64)), "{pause:?}");
            assert!(
                waited < LONG || pause <= Duration::from_micros(2 * SHORTEST),
                "{pause:?} after {waited:?}"
            );
            waited += pause;
        }
        assert!(waited <= within && waited > within - Duration::from_micros(LONGEST), "{waited:?}");
    }
}
