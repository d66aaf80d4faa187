//! How far a strategy has come on its way to being verified.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::backtest::Backtest;
use crate::extract::Extracted;
use crate::fault::{Fault, Stage};
use crate::finding::Finding;
use crate::runner::CannotRun;

/// The stages that a strategy went through, and what each has shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// It has passed every stage.
    pub verified: bool,
    /// What ended it.
    pub fault: Option<Fault>,
    /// Why it was not run, if it was not.
    pub not_run: Option<CannotRun>,
    /// Each stage that was begun, in order.
    pub stages: Vec<StageReport>,
    /// What the model says it has chosen where the request left it open; from a structured reply only.
    pub assumptions: Vec<String>,
    /// The class attributes of a strategy that has passed the gate.
    pub parameters: Vec<Parameter>,
    /// What looks like looking ahead and may be honest; all the more if it is verified.
    pub warnings: Vec<Finding>,
    /// The prices it was run on, in words.
    pub data: Option<String>,
    /// Money to begin with.
    pub cash: Option<f64>,
    /// Share of each trade's value that the broker keeps.
    pub commission: Option<f64>,
    /// What the run has shown.
    pub backtest: Option<Backtest>,
}

/// A class attribute of a strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its default, as it stands in the code.
    pub default: String,
    /// What the model says it means; from a structured reply only.
    pub meaning: Option<String>,
}

impl Parameter {
    /// An attribute that nobody has explained.
    pub(crate) fn new(name: &str, default: String) -> Self {
        Self { name: name.to_owned(), default, meaning: None }
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StageReport {
    /// Which.
    pub stage: Stage,
    /// It let the strategy pass.
    pub passed: bool,
    /// How long it took, in milliseconds.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
}

impl Report {
    /// A stage let the strategy pass.
    pub(crate) fn passed(&mut self, stage: Stage, took: Duration) {
        self.stages.push(StageReport { stage, passed: true, took });
    }

    /// A stage ended it.
    pub(crate) fn failed(&mut self, fault: Fault, took: Duration) {
        self.stages.push(StageReport { stage: fault.stage, passed: false, took });
        self.fault = Some(fault);
    }

    /// What the reply says about its code; the code has the last word on what the attributes are.
    pub(crate) fn told(&mut self, found: &Extracted) {
        self.assumptions.clone_from(&found.assumptions);
        for parameter in &mut self.parameters {
            parameter.meaning = found.meanings.get(&parameter.name).cloned();
        }
    }

    /// How long the stages took in which it was run.
    pub fn ran(&self) -> Duration {
        let run = |stage: &&StageReport| matches!(stage.stage, Stage::Compile | Stage::Backtest);
        self.stages.iter().filter(run).map(|stage| stage.took).sum()
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}
