//! What verifying strategies costs: the gate, one run with and without the sandbox, many at a time.
//!
//! `cargo xtask bench strategies`. Fails if a figure is worse than docs/performance.md promises.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends at what it does not expect")]

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use keyrot_core::{Clock, SystemClock};
use keyrot_test_servers::tool;
use strategy_gen::{Gate, Isolation, Pipeline, PythonEnvironment, PythonRunner, Sandbox};

/// A strategy with a period of its own, so that no two are the same.
fn strategy(period: usize, padding: usize) -> String {
    let unused: String = (0..padding)
        .map(|n| format!("def average_{n}(values, n):\n    # Not used.\n    return pd.Series(values).rolling(n).mean()\n\n\n"))
        .collect();
    format!(
        "import pandas as pd\nfrom backtesting import Strategy\nfrom backtesting.lib import crossover\n\n\n{unused}\
         def sma(values, n):\n    return pd.Series(values).rolling(n).mean()\n\n\n\
         class Cross(Strategy):\n    fast = {period}\n    slow = {}\n\n    \
         def init(self):\n        self.quick = self.I(sma, self.data.Close, self.fast)\n        \
         self.calm = self.I(sma, self.data.Close, self.slow)\n\n    \
         def next(self):\n        if crossover(self.quick, self.calm):\n            self.position.close()\n            self.buy()\n        \
         elif crossover(self.calm, self.quick):\n            self.position.close()\n            self.sell()\n",
        3 * period
    )
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn since(begun: Instant) -> Duration {
    SystemClock.now() - begun
}

fn row(figure: &str, asked: &str, measured: String, holds: bool) -> bool {
    println!("| {figure} | {asked} | {measured} |");
    holds
}

fn pipeline(isolation: Isolation) -> Pipeline {
    let python = tool("python");
    let environment = PythonEnvironment::at(python.parent().unwrap().parent().unwrap()).unwrap();
    let mut sandbox = Sandbox::new([env!("CARGO_BIN_EXE_keyrot")]);
    sandbox.isolation = isolation;
    Pipeline::default().runner(PythonRunner::new(environment, sandbox))
}

async fn verify(pipeline: &Pipeline, period: usize) -> Duration {
    let begun = SystemClock.now();
    let report = pipeline.verify_code(&strategy(period, 0)).await;
    assert!(report.verified, "{:?} {:?}", report.fault, report.not_run);
    since(begun)
}

/// One after the other, in turns, so that both meet the same machine.
async fn alternating(runs: usize) -> (Vec<Duration>, Vec<Duration>) {
    let (inside, outside) = (pipeline(Isolation::Full), pipeline(Isolation::None));
    verify(&inside, 5).await; // its files are in memory from here on
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for period in 6..6 + runs {
        with.push(verify(&inside, period).await);
        without.push(verify(&outside, period).await);
    }
    (with, without)
}

#[tokio::main]
async fn main() {
    println!("| figure | asked | measured |\n|---|---|---|");
    let long = strategy(10, 36);
    let lines = long.lines().count();
    let gate = (0..200).map(|_| {
        let begun = SystemClock.now();
        Gate::default().check(&long).unwrap();
        since(begun)
    });
    let gate = median(gate.collect()).as_secs_f64() * 1e3;
    let mut good = row(&format!("gate, {lines} lines"), "at most 5 ms", format!("{gate:.2} ms"), gate <= 5.0);

    let (with, without) = alternating(9).await;
    let (with, without) = (median(with).as_secs_f64(), median(without).as_secs_f64());
    good &=
        row("one strategy verified, warm, median of 9", "at most 6 s", format!("{with:.2} s"), with <= 6.0);
    let ratio = with / without;
    good &= row("the same beside no sandbox", "at most 1.5", format!("{ratio:.2}"), ratio <= 1.5);

    let all = pipeline(Isolation::Full);
    let begun = SystemClock.now();
    let items = stream::iter(5..105).map(|period| verify(&all, period));
    let done = items.buffer_unordered(8).count().await;
    let rate = done as f64 / since(begun).as_secs_f64();
    good &= row(
        "100 strategies, 8 at a time",
        "at least 0.4 a second",
        format!("{rate:.2} a second"),
        rate >= 0.4,
    );
    assert!(good, "a figure is worse than it may be");
}
