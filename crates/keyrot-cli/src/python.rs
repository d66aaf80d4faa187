//! `keyrot python setup`: the private environment in which generated strategies are run.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyrot::Environment;
use keyrot_core::Vars;
use serde::Serialize;
use strategy_gen::{BACKTESTING_VERSION, CannotRun, PythonEnvironment};

use crate::arguments::Options;
use crate::failure::Failure;
use crate::output;
#[cfg(target_os = "linux")]
use crate::{delivery, python_setup, verify};

#[derive(Debug, Args)]
pub(crate) struct PythonArguments {
    #[command(subcommand)]
    command: PythonCommand,
}

#[derive(Debug, Subcommand)]
enum PythonCommand {
    /// Make the private Python environment in which generated strategies are run
    Setup(SetupArguments),
}

#[derive(Debug, Args)]
struct SetupArguments {
    /// Make it anew, even if it is there
    #[arg(long)]
    force: bool,
}

/// The result, for programs.
#[derive(Serialize)]
struct SetupJson<'a> {
    folder: &'a std::path::Path,
    python: &'a std::path::Path,
    backtesting: &'static str,
    /// False if it was there already.
    made: bool,
}

pub(crate) async fn run(arguments: PythonArguments, options: &Options) -> Result<(), Failure> {
    let PythonCommand::Setup(SetupArguments { force }) = arguments.command;
    let variables = Environment::read(options.env_file.as_deref())?;
    let vars = variables.vars();
    let there = match environment(vars) {
        Ok(environment) if !force => whole(environment, vars).await?,
        _ => None,
    };
    let made = there.is_none();
    let environment = match there {
        Some(environment) => environment,
        None => set_up(vars).await?,
    };
    let (folder, python) = (environment.folder(), environment.python());
    if options.json {
        output::print_json(&SetupJson { folder, python, backtesting: BACKTESTING_VERSION, made })?;
    } else {
        let what = if made { "is ready" } else { "is there already (--force makes it anew)" };
        output::note(&format!("backtesting {BACKTESTING_VERSION} in {} {what}", folder.display()));
    }
    Ok(())
}

/// One that can load what it is for; else a person is told what is wrong with it.
#[cfg(target_os = "linux")]
async fn whole(environment: PythonEnvironment, vars: &Vars) -> Result<Option<PythonEnvironment>, Failure> {
    match python_setup::check(&environment, vars).await {
        Ok(()) => Ok(Some(environment)),
        Err(failure) if failure.is_stopped() => Err(failure),
        Err(failure) => {
            let folder = environment.folder().display();
            output::note(&format!(
                "the environment in {folder} is broken and is made anew: {}",
                failure.message()
            ));
            Ok(None)
        }
    }
}

/// Makes the environment.
#[cfg(target_os = "linux")]
async fn set_up(vars: &Vars) -> Result<PythonEnvironment, Failure> {
    let folder = folder(vars).ok_or_else(|| Failure::usage(NO_FOLDER))?;
    // Before much is loaded for little use.
    let isolation = async { verify::sandbox()?.check().await };
    if let Err(why) = isolation.await {
        output::warning(&format!("{why}, so that nothing will be verified here; {}", delivery::advice(&why)));
    }
    python_setup::make(&folder, vars).await?;
    PythonEnvironment::at(&folder).map_err(|error| Failure::failed(error.to_string()))
}

#[cfg(not(target_os = "linux"))]
async fn whole(environment: PythonEnvironment, _: &Vars) -> Result<Option<PythonEnvironment>, Failure> {
    Ok(Some(environment))
}

#[cfg(not(target_os = "linux"))]
async fn set_up(_: &Vars) -> Result<PythonEnvironment, Failure> {
    Err(Failure::usage(format!("{ONLY_LINUX}; elsewhere `keyrot generate` delivers them not verified")))
}

/// The user's environment, or what to do to have one.
pub(crate) fn environment(vars: &Vars) -> Result<PythonEnvironment, CannotRun> {
    if cfg!(not(target_os = "linux")) {
        return Err(CannotRun::NoIsolation(ONLY_LINUX.to_owned()));
    }
    match folder(vars) {
        Some(folder) => PythonEnvironment::at(&folder),
        None => Err(CannotRun::NoPython(NO_FOLDER.to_owned())),
    }
}

/// Asks a person at a terminal whether to make it now; `None` if nobody is there or the answer is no.
pub(crate) async fn offer(vars: &Vars) -> Result<Option<PythonEnvironment>, Failure> {
    let Some(folder) = folder(vars) else { return Ok(None) };
    if !(io::stdin().is_terminal() && output::is_watched()) {
        return Ok(None);
    }
    output::info(&format!(
        "generated strategies are run in a sandbox before you get them. That needs a private Python environment in {} \
         (about 260 MB); --no-verify does without",
        folder.display()
    ));
    let answer = output::ask("Make it now? [Y/n] ")?;
    match answer.trim() {
        "" | "y" | "Y" | "yes" => set_up(vars).await.map(Some),
        _ => Ok(None),
    }
}

const ONLY_LINUX: &str = "generated strategies are run on Linux only";

const NO_FOLDER: &str = "there is no folder for a user's data; set HOME or XDG_DATA_HOME";

/// Where the environment belongs: in the folder of the system for a user's data.
fn folder(vars: &Vars) -> Option<PathBuf> {
    let path = |name: &str| vars.text(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        path("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")))
    };
    data.map(|data| data.join("keyrot").join("python"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_in_the_users_data_folder() {
        let of = |vars: &[(&str, &str)]| folder(&vars.iter().copied().collect());
        assert_eq!(of(&[("HOME", "/me")]), Some("/me/.local/share/keyrot/python".into()));
        assert_eq!(of(&[("HOME", "/me"), ("XDG_DATA_HOME", "/data")]), Some("/data/keyrot/python".into()));
        assert_eq!(of(&[("HOME", "/me"), ("XDG_DATA_HOME", "data")]), of(&[("HOME", "/me")]));
        assert_eq!(of(&[]), None);
    }
}
