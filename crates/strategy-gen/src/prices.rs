//! What strategies are run on: a sample that comes with backtesting.py, or the user's own prices.

use std::fmt;

/// Prices.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Prices {
    /// Google's shares, 2148 days.
    #[default]
    Goog,
    /// Euros in dollars, 5000 hours.
    EurUsd,
    /// Bitcoin in dollars, 156 months.
    BtcUsd,
}

impl Prices {
    /// Money to begin with that buys some units at the highest price: 10 000, for bitcoin 10 million.
    pub fn cash(&self) -> f64 {
        match self {
            Self::Goog | Self::EurUsd => 10_000.0,
            Self::BtcUsd => 10_000_000.0,
        }
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Goog => "GOOG, 2148 days",
            Self::EurUsd => "EURUSD, 5000 hours",
            Self::BtcUsd => "BTCUSD, 156 months",
        })
    }
}
