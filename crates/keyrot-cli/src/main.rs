//! The command `keyrot`.

mod demo;
mod demo_load;
mod demo_notes;
mod demo_scene;
mod demo_screen;
mod demo_summary;
mod demo_watch;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Turns many API keys into one dependable key.
#[derive(Debug, Parser)]
#[command(name = "keyrot", version, max_term_width = 100)]
struct Arguments {
    /// The result as one JSON object on standard output, plain lines elsewhere.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Demo(demo) => demo::run(demo, arguments.json).await,
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "error: {error}"); // nobody is left to tell if that fails
        ExitCode::FAILURE
    })
}
