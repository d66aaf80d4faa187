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
mod page;
mod page_chart;
mod page_statistics;
mod pipeline;
mod pooled;
mod prices;
mod prices_csv;
mod prompt;
#[cfg(feature = "verify")]
mod python;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod python_runner;
mod report;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod run_folder;
mod runner;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox_arguments;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox_calls;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox_check;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox_files;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox_launch;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandbox_seal;
mod structured;
mod syntax;
mod verification;
mod version;

/// The examples of the guide are compiled and run.
#[cfg(all(doctest, feature = "verify", target_os = "linux"))]
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
pub use crate::page::{module_page, page};
pub use crate::pipeline::Pipeline;
pub use crate::prices::{OwnPrices, Prices};
pub use crate::prices_csv::PricesError;
pub use crate::prompt::{PROMPT_VERSION, Prompt, SYSTEM_INSTRUCTION};
#[cfg(feature = "verify")]
pub use crate::python::{BACKTESTING_VERSION, PythonEnvironment};
#[cfg(all(feature = "verify", target_os = "linux"))]
pub use crate::python_runner::PythonRunner;
pub use crate::report::{AttemptReport, Spent, Strategy, TokenUsage};
pub use crate::runner::{CannotRun, Run, Runner, Task};
#[cfg(all(feature = "verify", target_os = "linux"))]
pub use crate::sandbox::{Ended, Isolation, Limits, Program, Sandbox};
#[cfg(all(feature = "verify", target_os = "linux"))]
pub use crate::sandbox_launch::launch_if_asked;
pub use crate::structured::reply_schema;
pub use crate::syntax::Checked;
pub use crate::verification::{Parameter, Report, StageReport};
pub use crate::version::same_model;
