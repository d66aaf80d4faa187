//! The stages one after the other: from a reply, or from code, to a report.

use std::sync::Arc;
use std::time::Instant;

use keyrot_core::{Clock, SystemClock};

use crate::extract::{Extracted, extract};
use crate::fault::{Fault, Stage};
use crate::finding::{Finding, Findings, Rule};
use crate::gate::Gate;
use crate::judge::judge;
use crate::prices::Prices;
use crate::runner::{CannotRun, Runner, Task};
use crate::syntax::Checked;
use crate::verification::Report;

/// Verifies strategies. Cheap to clone; clones share the runner.
///
/// Without a [`Runner`] it stops after the gate, and nothing counts as verified.
#[derive(Clone, Debug)]
pub struct Pipeline {
    gate: Gate,
    /// Or why there is none.
    runner: Result<Arc<dyn Runner>, CannotRun>,
    prices: Arc<Prices>,
    clock: Arc<dyn Clock>,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            gate: Gate::default(),
            runner: Err(CannotRun::NotAsked),
            prices: Arc::new(Prices::default()),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Pipeline {
    /// Sets the rules of the gate.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Sets what runs the strategies.
    #[must_use]
    pub fn runner(mut self, runner: impl Runner) -> Self {
        self.runner = Ok(Arc::new(runner));
        self
    }

    /// Says why nothing can be run, for the reports.
    #[must_use]
    pub fn without_runner(mut self, why: CannotRun) -> Self {
        self.runner = Err(why);
        self
    }

    /// Sets the prices; default: Google's daily ones that come with backtesting.py.
    #[must_use]
    pub fn prices(mut self, prices: impl Into<Arc<Prices>>) -> Self {
        self.prices = prices.into();
        self
    }

    /// True if strategies are run.
    pub fn runs(&self) -> bool {
        self.runner.is_ok()
    }

    /// Why strategies are not run, if they are not.
    pub fn not_run(&self) -> Option<&CannotRun> {
        self.runner.as_ref().err()
    }

    /// Verifies the module in a reply.
    pub async fn verify_reply(&self, reply: &str) -> Report {
        let mut report = Report::default();
        match self.extract(reply, &mut report) {
            Some(found) => {
                let mut report = self.verify(&found.code, report).await;
                report.told(&found);
                report
            }
            None => report,
        }
    }

    /// Verifies a module.
    pub async fn verify_code(&self, code: &str) -> Report {
        self.verify(code, Report::default()).await
    }

    async fn verify(&self, code: &str, mut report: Report) -> Report {
        if self.check(code, &mut report).is_some() {
            self.run(code, &mut report).await;
        }
        report
    }

    /// The first stage.
    pub(crate) fn extract(&self, reply: &str, report: &mut Report) -> Option<Extracted> {
        let begun = self.clock.now();
        let found = extract(reply);
        match &found {
            Some(_) => report.passed(Stage::Extract, self.since(begun)),
            None => {
                let fault = Fault::of(Stage::Extract, &no_code(reply).into());
                report.failed(fault, self.since(begun));
            }
        }
        found
    }

    /// The second stage.
    pub(crate) fn check(&self, code: &str, report: &mut Report) -> Option<Checked> {
        let begun = self.clock.now();
        match self.gate.check(code) {
            Ok(checked) => {
                report.passed(Stage::Gate, self.since(begun));
                report.warnings.clone_from(&checked.warnings);
                report.parameters = checked.parameters(code);
                Some(checked)
            }
            Err(findings) => {
                report.failed(Fault::of(Stage::Gate, &findings), self.since(begun));
                None
            }
        }
    }

    /// A module that has passed the gate under another name.
    pub(crate) fn check_again(&self, code: &str) -> Option<Checked> {
        self.gate.check(code).ok()
    }

    /// The gate would have said no if it had known of this.
    pub(crate) fn refuse(&self, findings: &Findings, report: &mut Report) {
        let took = report.stages.pop().map(|stage| stage.took);
        report.failed(Fault::of(Stage::Gate, findings), took.unwrap_or_default());
    }

    /// The other stages. A module that was not run is neither verified nor at fault.
    pub(crate) async fn run(&self, code: &str, report: &mut Report) {
        let task = Task::new(code, Arc::clone(&self.prices));
        let ran = match &self.runner {
            Ok(runner) => runner.run(&task).await,
            Err(why) => Err(why.clone()),
        };
        let run = match ran {
            Ok(run) => run,
            Err(why) => {
                report.not_run = Some(why);
                return;
            }
        };
        report.data = Some(self.prices.to_string());
        (report.cash, report.commission) = (Some(task.cash), Some(task.commission));
        let fault_at = run.result.as_ref().err().map(|fault| fault.stage);
        for (stage, took) in run.took.iter().filter(|(stage, _)| Some(*stage) != fault_at) {
            report.passed(*stage, *took);
        }
        let backtest = match run.result {
            Ok(backtest) => backtest,
            Err(fault) => {
                let took = run.took.iter().find(|(stage, _)| *stage == fault.stage);
                report.failed(fault, took.map(|(_, took)| *took).unwrap_or_default());
                return;
            }
        };
        let begun = self.clock.now();
        match judge(&backtest) {
            Ok(()) => {
                report.passed(Stage::Judge, self.since(begun));
                report.verified = true;
            }
            Err(fault) => report.failed(fault, self.since(begun)),
        }
        report.backtest = Some(backtest);
    }

    fn since(&self, begun: Instant) -> std::time::Duration {
        self.clock.now().duration_since(begun)
    }
}

/// How much of a reply without code is shown.
const SHOWN_CHARS: usize = 200;

fn no_code(text: &str) -> Finding {
    let hint = "Reply with the whole module: in one block that begins with ```python, or in the field `code` if the \
                reply has to be JSON.";
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        return Finding::without_place(Rule::NoCode, "the reply is empty", hint);
    }
    let shown: String = words.chars().take(SHOWN_CHARS).collect();
    let more = if shown.len() < words.len() { " ..." } else { "" };
    Finding::without_place(Rule::NoCode, format!("the reply holds no Python code: {shown:?}{more}"), hint)
}
