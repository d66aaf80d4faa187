//! Turns a sentence into a trading strategy for backtesting.py: one prompt, one module of Python, checked
//! in Rust, sent back once with the exact finding if it cannot be used.
//!
//! [`StrategyGenerator`] does it all with any [`LanguageModel`]; [`extract`](extract()) and
//! [`check`](check()) are its parts. docs/strategy-gen.md is the guide.

mod bases;
mod depth;
mod error;
mod extract;
mod fence;
mod finding;
mod generator;
mod model;
mod options;
mod pooled;
mod prompt;
mod report;
mod syntax;
mod version;

/// The examples of the guide are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/strategy-gen.md")]
mod guide {}

pub use keyrot_gemini;

pub use crate::error::{CallCause, CallError, GenerateError};
pub use crate::extract::{Extracted, extract};
pub use crate::finding::{Finding, Rule};
pub use crate::generator::StrategyGenerator;
pub use crate::model::{Blocked, Finish, LanguageModel, OnProgress, Progress, Reply};
pub use crate::options::GenerateOptions;
pub use crate::prompt::{PROMPT_VERSION, Prompt, SYSTEM_INSTRUCTION};
pub use crate::report::{AttemptReport, Spent, Strategy, TokenUsage};
pub use crate::syntax::{Checked, check};
pub use crate::version::same_model;
