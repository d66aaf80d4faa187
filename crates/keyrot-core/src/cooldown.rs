//! Strikes to delay: 30 s, 60 s, 120 s ... and never more than 15 minutes. Pure.

use std::time::Duration;

/// The back-off schedule of a scope that fails without a delay from the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First delay; `KEYROT_COOLDOWN_BASE`, default 30 s.
    pub base: Duration,
    /// Longest delay; `KEYROT_COOLDOWN_MAX`, default 15 min.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(30), max: Duration::from_secs(15 * 60) }
    }
}

impl Backoff {
    /// The delay after the `strikes`-th failure in a row (1 is the first), jitter (thousandths, 0 to
    /// 1000) added upward only, at most 10 %: nobody comes back before the time that was announced.
    pub fn delay(&self, strikes: u32, jitter: u16) -> Duration {
        let doublings = strikes.saturating_sub(1).min(31);
        let delay = self.base.saturating_mul(1 << doublings).min(self.max);
        delay + delay * u32::from(jitter.min(1000)) / 10_000
    }
}

/// The longest delay that a provider's word is taken for: beyond it the scope is tried again.
pub(crate) const LONGEST_NAMED_DELAY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_schedule_with_a_cap() {
        let seconds: Vec<u64> =
            (1..=7).map(|strikes| Backoff::default().delay(strikes, 0).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(Backoff::default().delay(u32::MAX, 0).as_secs(), 900);
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_tenth_at_most() {
        for jitter in [0, 300, 1000, 7000] {
            let delay = Backoff::default().delay(1, jitter).as_secs_f64();
            assert!((30.0..=33.0).contains(&delay), "{delay}");
        }
    }
}
