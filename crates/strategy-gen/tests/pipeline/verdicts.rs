//! Each reply of the corpus goes through the whole pipeline and ends where the table says.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use strategy_gen::{Pipeline, Prices, Report, Runner, SYSTEM_INSTRUCTION, Task, extract, judge};

use crate::sandboxed::{prices, runner};
use crate::table::{Row, reply, rows};

/// All that backtesting.py 0.6.6 reports where there is a commission.
const STATISTICS: &str = "\
Start
End
Duration
Exposure Time [%]
Equity Final [$]
Equity Peak [$]
Commissions [$]
Return [%]
Buy & Hold Return [%]
Return (Ann.) [%]
Volatility (Ann.) [%]
CAGR [%]
Sharpe Ratio
Sortino Ratio
Calmar Ratio
Alpha [%]
Beta
Max. Drawdown [%]
Avg. Drawdown [%]
Max. Drawdown Duration
Avg. Drawdown Duration
# Trades
Win Rate [%]
Best Trade [%]
Worst Trade [%]
Avg. Trade [%]
Max. Trade Duration
Avg. Trade Duration
Profit Factor
Expectancy [%]
SQN
Kelly Criterion
_strategy
_equity_curve
_trades";

/// How many are run at a time.
const AT_A_TIME: usize = 2;

/// Enough for what ends, also on a slow machine.
const PLENTY: Duration = Duration::from_secs(30);
/// Enough for what never ends.
const LITTLE: Duration = Duration::from_secs(6);

/// The rows that one test is about, each with what came of its reply after this much processor time at most.
async fn reports(cpu: Duration, wanted: fn(&Row) -> bool) -> Vec<(Row, Report)> {
    let runner = runner(cpu);
    let reports = rows().into_iter().filter(|row| row.finish == "STOP" && wanted(row)).map(async |row| {
        let pipeline = Pipeline::default().runner(runner.clone()).prices(prices(&row));
        let report = pipeline.verify_reply(&reply(&row)).await;
        assert_eq!(report.not_run, None, "{}", row.file);
        (row, report)
    });
    let reports: Vec<_> = stream::iter(reports).buffer_unordered(AT_A_TIME).collect().await;
    assert!(!reports.is_empty());
    reports
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn honest_strategies_are_verified_and_none_is_flagged() {
    for (row, report) in reports(PLENTY, |row| row.kind == "honest").await {
        assert!(report.verified, "{}: {:?}", row.file, report.fault.map(|fault| fault.to_string()));
        let backtest = report.backtest.expect("it was run");
        assert_eq!((backtest.look_ahead.tried, backtest.look_ahead.flagged), (16, 0), "{}", row.file);
        assert_eq!(report.stages.len(), 5, "{}", row.file);
        let names: Vec<&str> = backtest.statistics.keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = STATISTICS.lines().collect();
        assert_eq!((names.len(), names.into_iter().collect()), (35, known), "{}", row.file);
    }
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn cheats_are_flagged_in_more_than_half_of_the_perturbed_runs() {
    for (row, report) in reports(PLENTY, |row| row.kind == "cheat" && row.stage == "judge").await {
        let fault = report.fault.unwrap_or_else(|| panic!("{} is verified", row.file));
        assert_eq!(
            (fault.stage.name(), fault.reason.name()),
            ("judge", "look-ahead"),
            "{}: {fault}",
            row.file
        );
        let seen = report.backtest.expect("it was run").look_ahead;
        assert_eq!(seen.tried, 16, "{}", row.file);
        assert!(seen.flagged > 8, "{}: {}", row.file, seen.flagged);
    }
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn bad_replies_end_at_their_stage_for_their_reason() {
    for (row, report) in reports(LITTLE, |row| row.kind == "bad").await {
        let fault = report.fault.unwrap_or_else(|| panic!("{} is verified", row.file));
        assert_eq!(fault.stage.name(), row.stage, "{}: {fault}", row.file);
        assert!(fault.is(row.reason.as_deref().unwrap_or_default()), "{}: {fault}", row.file);
        assert!(fault.to_string().contains(row.says.as_deref().unwrap_or_default()), "{}: {fault}", row.file);
    }
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn the_examples_of_the_system_instruction_are_verified() {
    let blocks = SYSTEM_INSTRUCTION.split("```python\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let examples: Vec<&str> =
        blocks.map(|(code, _)| code).filter(|code| code.contains("(Strategy)")).collect();
    assert_eq!(examples.len(), 3);
    let runner = runner(PLENTY);
    for code in examples {
        for prices in [Prices::Goog, Prices::EurUsd] {
            let report = Pipeline::default().runner(runner.clone()).prices(prices).verify_code(code).await;
            assert!(report.verified, "{code}\n{:?}", report.fault.map(|fault| fault.to_string()));
        }
    }
}

/// What the gate would have stopped does no harm where somebody lets it through.
#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn behind_the_gate_the_sandbox_and_the_judge_hold() {
    let runner = runner(PLENTY);
    let beyond = rows()
        .into_iter()
        .filter(|row| row.at_latest.as_deref().is_some_and(|latest| latest != row.stage && latest != "gate"));
    let runs = beyond.map(async |row| {
        let found = extract(&reply(&row)).expect("there is a module in it");
        let run = runner.run(&Task::new(found.code, prices(&row))).await.expect("it can be run");
        let ended = run.result.and_then(|backtest| judge(&backtest));
        let fault = ended.err().unwrap_or_else(|| panic!("{} has passed", row.file));
        let (stage, reason) = (row.at_latest.as_deref(), row.at_latest_reason.as_deref());
        assert_eq!(
            (Some(fault.stage.name()), Some(fault.reason.name())),
            (stage, reason),
            "{}: {fault}",
            row.file
        );
    });
    stream::iter(runs).buffer_unordered(AT_A_TIME).collect::<()>().await;
}
