//! What the pipeline needs of something that runs strategies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::backtest::Backtest;
use crate::fault::{Fault, Stage};
use crate::prices::Prices;

/// A strategy and what to run it on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// The module; it has passed the gate.
    pub code: String,
    /// What it is run on.
    pub prices: Arc<Prices>,
    /// Money to begin with.
    pub cash: f64,
    /// Share of each trade's value that the broker keeps.
    pub commission: f64,
}

impl Task {
    /// With the cash that suits the prices, and a commission of 0.2 %.
    pub fn new(code: impl Into<String>, prices: impl Into<Arc<Prices>>) -> Self {
        let prices = prices.into();
        Self { code: code.into(), cash: prices.cash(), prices, commission: 0.002 }
    }

    /// With another amount to begin with.
    #[must_use]
    pub fn cash(mut self, cash: f64) -> Self {
        self.cash = cash;
        self
    }
}

/// A run that took place, however it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// What it showed, or what is wrong with the strategy.
    pub result: Result<Backtest, Fault>,
    /// How long the stages took, as far as they got.
    pub took: Vec<(Stage, Duration)>,
}

impl Run {
    /// A run that ended like this after so long.
    pub fn new(result: Result<Backtest, Fault>, took: Vec<(Stage, Duration)>) -> Self {
        Self { result, took }
    }
}

/// Runs strategies: the stages [`Compile`](Stage::Compile) and [`Backtest`](Stage::Backtest).
#[async_trait]
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Runs one. The error says why nothing was run; what is wrong with the strategy is a [`Run`].
    async fn run(&self, task: &Task) -> Result<Run, CannotRun>;
}

/// Why nothing was run. It says nothing about the strategy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotRun {
    /// Nobody asked for it.
    #[error("not asked for")]
    NotAsked,
    /// No Python environment.
    #[error("no Python environment: {0}")]
    NoPython(String),
    /// The Python environment cannot load backtesting.py.
    #[error("the Python environment is broken: {0}")]
    BrokenPython(String),
    /// This machine cannot lock a strategy in, and none is run without.
    #[error("this machine cannot isolate a strategy: {0}")]
    NoIsolation(String),
    /// The machinery failed.
    #[error("the strategy could not be run: {0}")]
    Broken(String),
}

impl CannotRun {
    /// Stable name, as in JSON output.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAsked => "not-asked",
            Self::NoPython(_) => "no-python",
            Self::BrokenPython(_) => "broken-python",
            Self::NoIsolation(_) => "no-isolation",
            Self::Broken(_) => "broken",
        }
    }
}

impl Serialize for CannotRun {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("CannotRun", 2)?;
        fields.serialize_field("reason", self.name())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}
