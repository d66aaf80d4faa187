//! What went wrong, and the exit code that scripts see.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use keyrot::strategy_gen::GenerateError;
use keyrot::{AcquireError, ConfigError};

use crate::output;

/// Why the command ends without having done what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// For people; empty if there is nothing to say.
    message: String,
}

impl Failure {
    /// 1: it was tried and did not succeed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// 2: usage or configuration; nothing was tried.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The result says it all.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, message: String::new() }
    }

    /// A signal ended it: 130 for Ctrl-C, as shells count.
    pub(crate) fn stopped(signal: u8) -> Self {
        Self { code: 128 + signal, message: "stopped".to_owned() }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.code > 128
    }

    /// The same with more to say.
    pub(crate) fn saying(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The same with another line.
    pub(crate) fn adding(self, line: &str) -> Self {
        Self { message: format!("{}\n{line}", self.message), ..self }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn tell(&self) {
        if !self.message.is_empty() {
            output::error(&self.message);
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<io::Error> for Failure {
    /// Writing to stdout failed. Whoever reads it has seen enough: no reason to complain.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(0),
            _ => Self::failed(format!("cannot write the result: {error}")),
        }
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        Self { code: code_of(&error), message: with_next_try(error.to_string(), retry_after(&error)) }
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Self {
        let code = match &error {
            GenerateError::EmptyDescription | GenerateError::BadOption { .. } => 2,
            _ => error.acquire().map_or(1, code_of),
        };
        Self { code, message: with_next_try(error.to_string(), error.retry_after()) }
    }
}

fn code_of(error: &AcquireError) -> u8 {
    match error {
        AcquireError::NoMatch { .. } | AcquireError::NoSecret(_) => 2,
        AcquireError::Exhausted(_) => 3,
        AcquireError::Limiter(error) if error.is_transient() => 3, // its failure policy is `closed`
        _ => 1,
    }
}

fn retry_after(error: &AcquireError) -> Option<Duration> {
    match error {
        AcquireError::Exhausted(exhausted) => exhausted.retry_after,
        _ => None,
    }
}

/// The time of day as well: people read the message later than it is written.
fn with_next_try(message: String, retry_after: Option<Duration>) -> String {
    #[expect(clippy::disallowed_methods, reason = "for people, who have no other clock")]
    let now = SystemTime::now();
    match retry_after {
        Some(wait) => format!("{message}\nthe next try makes sense at {}", output::moment(now + wait)),
        None => message,
    }
}
