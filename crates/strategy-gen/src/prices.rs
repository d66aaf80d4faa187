//! What strategies are run on: a sample that comes with backtesting.py, or the user's own prices.

use std::fmt;

use crate::prices_csv::{PricesError, Table};

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
    /// The user's own.
    Own(OwnPrices),
}

/// Prices from a CSV file that has been looked through.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnPrices {
    name: String,
    bars: usize,
    highest: f64,
    /// With our names of columns and one form of times.
    csv: String,
}

impl Prices {
    /// Reads prices from the text of a CSV file.
    ///
    /// The columns are found by their names, in any case and order: a time (`Date`, `Time`, `Timestamp`, ..., or a
    /// first column without a name), `Open`, `High`, `Low`, `Close` and, if there is one, `Volume`. Others are left
    /// out. Times are ISO 8601 or seconds or milliseconds since 1970.
    ///
    /// ```
    /// use strategy_gen::Prices;
    ///
    /// let error = Prices::from_csv("mine.csv", "Date,Open,High,Low\n").unwrap_err();
    /// assert!(error.to_string().starts_with("mine.csv has no column Close"));
    /// ```
    pub fn from_csv(name: impl Into<String>, text: &str) -> Result<Self, PricesError> {
        let name = name.into();
        let Table { csv, bars, highest } = Table::read(&name, text)?;
        Ok(Self::Own(OwnPrices { name, bars, highest, csv }))
    }

    /// Its name in `backtesting.test`, if it is a sample.
    pub fn sample(&self) -> Option<&'static str> {
        match self {
            Self::Goog => Some("GOOG"),
            Self::EurUsd => Some("EURUSD"),
            Self::BtcUsd => Some("BTCUSD"),
            Self::Own(_) => None,
        }
    }

    /// The user's own as CSV with the columns `Time`, `Open`, `High`, `Low`, `Close` and perhaps `Volume`.
    pub fn csv(&self) -> Option<&str> {
        match self {
            Self::Own(own) => Some(&own.csv),
            _ => None,
        }
    }

    /// Money to begin with that buys some units at the highest price: 10 000, for bitcoin 10 million, for the user's
    /// own 100 times the highest price if that is more.
    pub fn cash(&self) -> f64 {
        match self {
            Self::Goog | Self::EurUsd => 10_000.0,
            Self::BtcUsd => 10_000_000.0,
            Self::Own(own) => (own.highest * 100.0).ceil().max(10_000.0),
        }
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goog => f.write_str("GOOG, 2148 days"),
            Self::EurUsd => f.write_str("EURUSD, 5000 hours"),
            Self::BtcUsd => f.write_str("BTCUSD, 156 months"),
            Self::Own(own) => write!(f, "{}, {} bars", own.name, own.bars),
        }
    }
}
