//! How long a simulated call takes.

use std::time::Duration;

use fastrand::Rng;
use serde::Deserialize;

/// A distribution of times, drawn from the engine's seeded generator.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Fixed {
        /// Milliseconds.
        ms: u64,
    },
    /// Evenly between two bounds, both included.
    Uniform {
        /// Shortest, in milliseconds.
        min_ms: u64,
        /// Longest, in milliseconds.
        max_ms: u64,
    },
    /// Lognormal, as measured latencies are; cut off at 100 times the median.
    Lognormal {
        /// Half of the calls take less, in milliseconds.
        median_ms: f64,
        /// Spread of the logarithm; 0.6 puts the 99th percentile at four times the median.
        sigma: f64,
    },
}

impl Latency {
    /// No time at all.
    pub const ZERO: Self = Self::Fixed { ms: 0 };

    /// One time.
    pub(crate) fn draw(self, rng: &mut Rng) -> Duration {
        match self {
            Self::Fixed { ms } => Duration::from_millis(ms),
            Self::Uniform { min_ms, max_ms } => Duration::from_millis(rng.u64(min_ms..=max_ms.max(min_ms))),
            Self::Lognormal { median_ms, sigma } => {
                let ms = median_ms * (sigma * normal(rng)).exp();
                Duration::from_secs_f64(ms.clamp(0.0, median_ms * 100.0) / 1_000.0)
            }
        }
    }

    /// What makes the numbers unusable.
    pub(crate) fn problem(self) -> Option<String> {
        match self {
            Self::Uniform { min_ms, max_ms } if min_ms > max_ms => {
                Some(format!("min_ms {min_ms} is more than max_ms {max_ms}"))
            }
            Self::Lognormal { median_ms, .. } if !(0.0..=1e9).contains(&median_ms) => {
                Some(format!("median_ms is {median_ms}, allowed is 0 to 1e9"))
            }
            Self::Lognormal { sigma, .. } if !(0.0..=10.0).contains(&sigma) => {
                Some(format!("sigma is {sigma}, allowed is 0 to 10"))
            }
            _ => None,
        }
    }
}

/// A standard normal number (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(latency: Latency) -> Vec<Duration> {
        let mut rng = Rng::with_seed(7);
        let mut drawn: Vec<Duration> = (0..10_000).map(|_| latency.draw(&mut rng)).collect();
        drawn.sort();
        drawn
    }

    #[test]
    fn uniform_fills_its_range_and_no_more() {
        let drawn = sorted(Latency::Uniform { min_ms: 10, max_ms: 20 });
        assert_eq!((drawn[0].as_millis(), drawn[9_999].as_millis()), (10, 20));
    }

    #[test]
    fn lognormal_has_its_median_and_tail() {
        let drawn = sorted(Latency::Lognormal { median_ms: 80.0, sigma: 0.6 });
        assert!((76..84).contains(&drawn[5_000].as_millis()), "{:?}", drawn[5_000]);
        assert!((280..370).contains(&drawn[9_900].as_millis()), "{:?}", drawn[9_900]);
    }
}
