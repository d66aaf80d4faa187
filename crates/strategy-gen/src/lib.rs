//! Turns a sentence into a trading strategy for backtesting.py: one prompt, one module of Python, checked in
//! Rust, run in a sandbox, judged, and sent back with the exact finding if it is not good enough.
//!
//! [`StrategyGenerator`] does it all with any [`LanguageModel`] and any [`Runner`]; [`Pipeline`] does it for
//! code that is there already. [`extract`](extract()), [`Gate`] and [`judge`](judge()) are its parts.
//! docs/strategy-gen.md is the guide.

mod backtest;
mod bases;
mod depth;
mod error;
mod extract;
mod fault;
mod fence;
mod finding;
mod gate;
mod gate_attributes;
mod gate_calls;
mod gate_imports;
mod gate_names;
mod gate_warnings;
mod generator;
mod judge;
mod model;
mod options;
mod pipeline;
mod pooled;
mod prices;
mod prompt;
mod report;
mod runner;
mod syntax;
mod verification;
mod version;

/// The examples of the guide are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/strategy-gen.md")]
mod guide {}

pub use keyrot_gemini;

pub use crate::backtest::{Backtest, LookAhead};
pub use crate::error::{CallCause, CallError, GenerateError};
pub use crate::extract::{Extracted, extract};
pub use crate::fault::{Fault, Reason, Stage};
pub use crate::finding::{Finding, Findings, Rule};
pub use crate::gate::Gate;
pub use crate::generator::StrategyGenerator;
pub use crate::judge::judge;
pub use crate::model::{Blocked, Finish, LanguageModel, OnProgress, Progress, Reply};
pub use crate::options::GenerateOptions;
pub use crate::pipeline::Pipeline;
pub use crate::prices::Prices;
pub use crate::prompt::{PROMPT_VERSION, Prompt, SYSTEM_INSTRUCTION};
pub use crate::report::{AttemptReport, Spent, Strategy, TokenUsage};
pub use crate::runner::{CannotRun, Run, Runner, Task};
pub use crate::syntax::Checked;
pub use crate::verification::{Report, StageReport};
pub use crate::version::same_model;
