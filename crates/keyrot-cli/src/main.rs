//! The command `keyrot`: strategies from sentences through rotated keys, and everything around the keys.

mod arguments;
mod asking;
mod batch;
mod batch_items;
mod batch_progress;
mod check;
mod check_age;
mod check_keys;
mod check_probe;
mod check_report;
mod check_secrets;
mod check_settings;
mod completions;
mod delivery;
mod demo;
mod demo_load;
mod demo_notes;
mod demo_scene;
mod demo_screen;
mod demo_summary;
mod demo_verify;
mod demo_watch;
mod explain;
mod failure;
mod generate;
mod improve;
mod keys;
mod keys_file;
mod keys_list;
mod keys_options;
mod out_file;
mod output;
mod progress;
mod prompt;
mod python;
#[cfg(target_os = "linux")]
mod python_process;
#[cfg(target_os = "linux")]
mod python_setup;
mod reset;
mod secrets;
mod secrets_ended;
mod secrets_probe;
mod secrets_rotate;
mod secrets_target;
mod secrets_value;
mod session;
mod state_file;
mod status;
mod verify;
mod whose;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    // This program is also the launcher of its sandbox. That begins before any thread does.
    #[cfg(target_os = "linux")]
    if let Some(code) = strategy_gen::launch_if_asked(std::env::args_os()) {
        return code;
    }
    answer()
}

#[tokio::main]
async fn answer() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(failure) => {
            failure.tell();
            failure.code()
        }
    }
}

async fn run(Arguments { command, options }: Arguments) -> Result<ExitCode, Failure> {
    match command {
        Command::Check(check) => check::run(check, &options).await?,
        Command::Completions(completions) => completions::run(&completions)?,
        Command::Demo(demo) => {
            let shown = demo::run(&demo, options.json).await;
            return shown.map_err(|error| Failure::failed(error.to_string()));
        }
        Command::Explain(explain) => explain::run(explain, &options).await?,
        Command::Generate(generate) => generate::run(generate, &options).await?,
        Command::Improve(change) => improve::improve(change, &options).await?,
        Command::Fix(fix) => improve::fix(fix, &options).await?,
        Command::Prompt(prompt) => prompt::run(&prompt, &options)?,
        Command::Keys(keys) => keys::run(keys, &options).await?,
        Command::Python(python) => python::run(python, &options).await?,
        Command::Secrets(secrets) => secrets::run(secrets, &options).await?,
        Command::Reset(reset) => reset::run(reset, &options).await?,
        Command::Status(status) => status::run(status, &options).await?,
    }
    Ok(ExitCode::SUCCESS)
}
