//! What a run of a strategy has shown, before anybody judges it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The facts of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backtest {
    /// The statistics of backtesting.py by their own names; what is not a number is `null`.
    /// `_equity_curve` holds columns, `_trades` rows.
    pub statistics: Map<String, Value>,
    /// The close of each bar.
    #[serde(default)]
    pub close: Vec<Option<f64>>,
    /// How many trades there were, the ones closed at the end included.
    pub trades: u64,
    /// The lowest equity; `None` if it was not a number somewhere.
    pub lowest_equity: Option<f64>,
    /// Two runs in one interpreter gave the same.
    pub same_again: bool,
    /// A second interpreter with another hash seed gave the same.
    #[serde(default)]
    pub same_elsewhere: bool,
    /// The view into the future.
    pub look_ahead: LookAhead,
}

/// Runs in which all prices after one bar were changed. What a strategy decided up to that bar must not change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LookAhead {
    /// How many such runs there were.
    pub tried: u32,
    /// In how many of them something changed.
    pub flagged: u32,
    /// Some of them in words.
    pub examples: Vec<String>,
}
