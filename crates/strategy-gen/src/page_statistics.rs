//! The numbers of a run on its page, in the order in which backtesting.py reports them.

use serde_json::Value;

use crate::page::table;
use crate::page_chart::number;
use crate::verification::Report;

/// A map has them by the alphabet. What is not in this list comes last.
const ORDER: [&str; 32] = [
    "Start",
    "End",
    "Duration",
    "Exposure Time [%]",
    "Equity Final [$]",
    "Equity Peak [$]",
    "Commissions [$]",
    "Return [%]",
    "Buy & Hold Return [%]",
    "Return (Ann.) [%]",
    "Volatility (Ann.) [%]",
    "CAGR [%]",
    "Sharpe Ratio",
    "Sortino Ratio",
    "Calmar Ratio",
    "Alpha [%]",
    "Beta",
    "Max. Drawdown [%]",
    "Avg. Drawdown [%]",
    "Max. Drawdown Duration",
    "Avg. Drawdown Duration",
    "# Trades",
    "Win Rate [%]",
    "Best Trade [%]",
    "Worst Trade [%]",
    "Avg. Trade [%]",
    "Max. Trade Duration",
    "Avg. Trade Duration",
    "Profit Factor",
    "Expectancy [%]",
    "SQN",
    "Kelly Criterion",
];

/// A table of all of them, with what the strategy was run on.
pub(crate) fn statistics(report: &Report) -> String {
    let Some(backtest) = &report.backtest else { return String::new() };
    let about = [
        ("Prices", report.data.clone()),
        ("Money to begin with", report.cash.map(number)),
        ("Commission", report.commission.map(|part| format!("{} %", 100.0 * part))),
        (
            "Runs on changed later prices",
            Some(format!(
                "{}, of which {} decided otherwise",
                backtest.look_ahead.tried, backtest.look_ahead.flagged
            )),
        ),
    ];
    let about = about.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut numbers: Vec<(&String, &Value)> =
        backtest.statistics.iter().filter(|(name, _)| !name.starts_with('_')).collect();
    numbers.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    let numbers = numbers.into_iter().map(|(name, value)| {
        let value = match value {
            Value::Number(value) if value.is_f64() => value.as_f64().map_or_else(String::new, number),
            Value::Number(value) => value.to_string(),
            Value::String(text) => text.replace('T', " "),
            _ => "-".to_owned(),
        };
        let value = if name.contains("Duration") { format!("{value} days") } else { value };
        (name.as_str(), value)
    });
    table(about.chain(numbers))
}
