//! How `generate` verifies what it generates: the Python environment, the sandbox, the prices.

use std::fs;
use std::path::Path;

use clap::Args;
use keyrot_core::Vars;
use strategy_gen::{CannotRun, Gate, GenerateError, Pipeline, Prices, Strategy};

use crate::failure::Failure;
use crate::{delivery, python};

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct VerifyArguments {
    /// Deliver nothing that has not been run and found good
    #[arg(long, conflicts_with_all = ["no_verify", "allow_unverified"])]
    require_verified: bool,
    /// Deliver also what was run and found wanting, marked as such
    #[arg(long)]
    pub(crate) allow_unverified: bool,
    /// Run nothing: deliver code that parses
    #[arg(long)]
    no_verify: bool,
    /// Prices to run it on: goog, eurusd, btcusd or a CSV file
    #[arg(long, value_name = "DATA", default_value = "goog")]
    data: String,
    /// Allow this module to be imported, beside those that are allowed anyway; may be repeated
    #[arg(long, value_name = "MODULE")]
    allow_import: Vec<String>,
    /// Run it even where this machine cannot lock it in: it can do all that you can
    #[arg(long)]
    unsafe_no_sandbox: bool,
}

impl VerifyArguments {
    /// What verifies; or, with the same rules and prices, what says why it cannot. A person at a terminal is asked
    /// whether to set up what is missing.
    pub(crate) async fn pipeline(&self, vars: &Vars) -> Result<Pipeline, Failure> {
        let gate = self.allow_import.iter().fold(Gate::default(), |gate, module| gate.allow(module));
        let pipeline = Pipeline::default().gate(gate).prices(self.prices()?);
        if self.no_verify {
            return Ok(pipeline);
        }
        let environment = match python::environment(vars) {
            Err(CannotRun::NoPython(why)) => python::offer(vars).await?.ok_or(CannotRun::NoPython(why)),
            other => other,
        };
        let pipeline = match environment {
            Ok(environment) => run_by(pipeline, environment, self.unsafe_no_sandbox),
            Err(why) => pipeline.without_runner(why),
        };
        match pipeline.not_run() {
            Some(why) if self.require_verified => Err(delivery::withheld(why)),
            _ => Ok(pipeline),
        }
    }

    pub(crate) fn allows_unverified(&self) -> bool {
        self.allow_unverified
    }

    pub(crate) fn requires_verified(&self) -> bool {
        self.require_verified
    }

    pub(crate) fn wants_a_run(&self) -> bool {
        !self.no_verify
    }

    /// What is delivered of what was generated.
    pub(crate) fn choose(&self, generated: Result<Strategy, GenerateError>) -> Result<Strategy, Failure> {
        delivery::choose(generated, self.require_verified, self.allow_unverified)
    }

    fn prices(&self) -> Result<Prices, Failure> {
        match self.data.to_ascii_lowercase().as_str() {
            "goog" => return Ok(Prices::Goog),
            "eurusd" => return Ok(Prices::EurUsd),
            "btcusd" => return Ok(Prices::BtcUsd),
            _ => {}
        }
        let text = fs::read_to_string(&self.data).map_err(|error| {
            let data = &self.data;
            Failure::usage(format!(
                "--data {data} cannot be read: {error}; allowed: a CSV file, goog, eurusd, btcusd"
            ))
        })?;
        let name = Path::new(&self.data).file_name().unwrap_or_default().to_string_lossy();
        Prices::from_csv(name, &text).map_err(|error| Failure::usage(format!("--data: {error}")))
    }
}

/// What verifies with the user's environment, if it is there.
pub(crate) fn quietly(vars: &Vars) -> Pipeline {
    match python::environment(vars) {
        Ok(environment) => run_by(Pipeline::default(), environment, false),
        Err(why) => Pipeline::default().without_runner(why),
    }
}

/// This program is its own launcher.
#[cfg(target_os = "linux")]
pub(crate) fn sandbox() -> Result<strategy_gen::Sandbox, CannotRun> {
    let this = std::env::current_exe();
    let this = this.map_err(|error| CannotRun::Broken(format!("this program has no name: {error}")))?;
    Ok(strategy_gen::Sandbox::new([this]))
}

#[cfg(target_os = "linux")]
fn run_by(
    pipeline: Pipeline,
    environment: strategy_gen::PythonEnvironment,
    without_sandbox: bool,
) -> Pipeline {
    use strategy_gen::{Isolation, PythonRunner};
    let mut sandbox = match sandbox() {
        Ok(sandbox) => sandbox,
        Err(why) => return pipeline.without_runner(why),
    };
    if without_sandbox {
        sandbox.isolation = Isolation::None;
    }
    pipeline.runner(PythonRunner::new(environment, sandbox))
}

#[cfg(not(target_os = "linux"))]
fn run_by(pipeline: Pipeline, _: strategy_gen::PythonEnvironment, _: bool) -> Pipeline {
    pipeline.without_runner(CannotRun::NoIsolation("the sandbox needs Linux".to_owned()))
}
