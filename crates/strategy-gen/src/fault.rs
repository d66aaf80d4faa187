//! Why a reply was not good enough: the stage that ended it, the reason, and what helps to correct it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::finding::{Finding, Findings, Rule};

/// The steps from a reply to a verified strategy, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Find the module in the reply.
    Extract,
    /// Judge its syntax tree.
    Gate,
    /// Compile it with CPython.
    Compile,
    /// Run it on prices, twice and in two interpreters, and look for a view into the future.
    Backtest,
    /// Judge what the run has shown.
    Judge,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Extract, Self::Gate, Self::Compile, Self::Backtest, Self::Judge];

    /// Stable name, as in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Gate => "gate",
            Self::Compile => "compile",
            Self::Backtest => "backtest",
            Self::Judge => "judge",
        }
    }
}

/// Why a stage ended a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A rule of the gate, or of Python's grammar.
    Rule(Rule),
    /// Python raised an exception.
    Exception,
    /// The limit of processor time or of wall time.
    TimeLimit,
    /// The limit of memory.
    MemoryLimit,
    /// It tried to start a process.
    ProcessLimit,
    /// The interpreter died.
    Crash,
    /// The interpreter ended without a report.
    Exited,
    /// It never traded.
    NoTrades,
    /// Two runs on the same prices differ.
    NotRepeatable,
    /// Its equity is not a number.
    NotFinite,
    /// It lost everything.
    Bankrupt,
    /// What it decides depends on prices that come later.
    LookAhead,
}

impl Reason {
    /// Stable name, as in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule(rule) => rule.name(),
            Self::Exception => "exception",
            Self::TimeLimit => "time-limit",
            Self::MemoryLimit => "memory-limit",
            Self::ProcessLimit => "process-limit",
            Self::Crash => "crash",
            Self::Exited => "exited",
            Self::NoTrades => "no-trades",
            Self::NotRepeatable => "not-repeatable",
            Self::NotFinite => "not-finite",
            Self::Bankrupt => "bankrupt",
            Self::LookAhead => "look-ahead",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What ended a reply, exact enough for a model or a person to correct it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// What was found, in a sentence.
    pub message: String,
    /// The places in the module; from the gate only.
    pub findings: Vec<Finding>,
    /// Python's traceback, from the module's own lines on.
    pub traceback: Option<String>,
    /// What to do; empty if the message says it.
    pub hint: String,
}

impl Fault {
    /// A fault without places.
    pub fn new(stage: Stage, reason: Reason, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { stage, reason, message, findings: Vec::new(), traceback: None, hint }
    }

    /// With Python's traceback.
    #[must_use]
    pub fn traceback(mut self, traceback: impl Into<String>) -> Self {
        self.traceback = Some(traceback.into());
        self
    }

    /// What the gate found, or that there was nothing to look at.
    pub(crate) fn of(stage: Stage, findings: &Findings) -> Self {
        let first = findings.first();
        let findings = findings.iter().cloned().collect();
        Self { findings, ..Self::new(stage, Reason::Rule(first.rule), first.message.clone(), "") }
    }

    /// True if this is the reason, or one of the gate's.
    pub fn is(&self, reason: &str) -> bool {
        self.reason.name() == reason || self.findings.iter().any(|finding| finding.rule.name() == reason)
    }
}

impl fmt::Display for Fault {
    /// The findings; or stage, message, reason, traceback and hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.findings.is_empty() {
            for (number, finding) in self.findings.iter().enumerate() {
                write!(f, "{}{finding}", if number == 0 { "" } else { "\n" })?;
            }
            return Ok(());
        }
        write!(f, "{}: {} [{}]", self.stage.name(), self.message, self.reason.name())?;
        for more in [self.traceback.as_deref(), Some(self.hint.as_str())].into_iter().flatten() {
            if !more.is_empty() {
                write!(f, "\n{}", more.trim_end())?;
            }
        }
        Ok(())
    }
}
