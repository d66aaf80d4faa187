//! What the command line may say, for all subcommands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use keyrot::parse_duration;

use crate::check::CheckArguments;
use crate::completions::CompletionsArguments;
use crate::demo::DemoArguments;
use crate::explain::ExplainArguments;
use crate::generate::GenerateArguments;
use crate::improve::{FixArguments, ImproveArguments};
use crate::keys::KeysArguments;
use crate::prompt::PromptArguments;
use crate::python::PythonArguments;
use crate::reset::ResetArguments;
use crate::secrets::SecretsArguments;
use crate::status::StatusArguments;

/// Many Gemini API keys as one dependable key: picks the right one, fails over, and says why.
#[derive(Debug, Parser)]
#[command(
    name = "keyrot",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 failed; 2 usage or configuration, no key matches, no secret at all; \
                  3 keys exist but all rest or are rejected."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Options of every subcommand.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Use the keys of keys.json, or the single key, whatever ENABLE_KEY_ROTATION says
    #[arg(long, global = true, value_name = "on|off", value_enum)]
    pub(crate) rotation: Option<Rotation>,
    /// The list of keys, instead of KEYROT_KEYS_FILE or keys.json
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// The file with variables, instead of KEYROT_ENV_FILE or .env
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Rotation {
    On,
    Off,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Turn a sentence into a trading strategy
    Generate(GenerateArguments),
    /// Change a strategy as you say
    Improve(ImproveArguments),
    /// Correct a strategy that does not work, or looks into the future
    Fix(FixArguments),
    /// Show the health of every key
    Status(StatusArguments),
    /// Say why a request could or could not be served now
    Explain(ExplainArguments),
    /// End the rest of a key or of a project, for every process that shares the limits
    Reset(ResetArguments),
    /// Look for mistakes in the configuration, the keys and their secrets
    Check(CheckArguments),
    /// List and edit the keys of keys.json
    Keys(KeysArguments),
    /// Write API keys into the secret store, and replace them safely
    Secrets(SecretsArguments),
    /// Show what the model is told
    Prompt(PromptArguments),
    /// Set up the private Python environment in which generated strategies are run
    Python(PythonArguments),
    Demo(DemoArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
}

/// `120s`, for clap.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("allowed: a duration above 0 such as 30, 30s, 500ms or 5m".to_owned()),
    }
}

/// The name of a model, for clap.
pub(crate) fn model(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("allowed: the name of a model such as gemini-2.5-flash".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// `NAME=VALUE`, for clap.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "allowed: NAME=VALUE such as region=us-east".to_owned())
}

/// The same for an attribute of a class.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "allowed: NAME=VALUE such as period=14".to_owned())
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
    Some((name.to_owned(), value.to_owned()))
}
