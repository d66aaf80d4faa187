//! `keyrot prompt show`: what the model is told.

use clap::{Args, Subcommand};
use strategy_gen::{PROMPT_VERSION, SYSTEM_INSTRUCTION, reply_schema};

use crate::arguments::Options;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct PromptArguments {
    #[command(subcommand)]
    command: PromptCommand,
}

#[derive(Debug, Subcommand)]
enum PromptCommand {
    /// Print the system instruction; edited, it is a file for --prompt. With --json also the form of structured replies
    Show,
}

pub(crate) fn run(arguments: &PromptArguments, options: &Options) -> Result<(), Failure> {
    let PromptCommand::Show = arguments.command;
    if options.json {
        output::print_json(&serde_json::json!({
            "version": PROMPT_VERSION,
            "system_instruction": SYSTEM_INSTRUCTION,
            "reply_schema": reply_schema(),
        }))
    } else {
        output::print(SYSTEM_INSTRUCTION)
    }
}
