//! `cargo xtask`: the tasks of this workspace, one file each.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod bench;
mod chromium;
mod conformance_rules;
mod debian;
mod docs;
mod docs_rules;
mod feature_trees;
mod features;
mod fuzz;
mod it;
mod layers;
mod layout_rules;
mod markdown;
mod metadata;
mod outside;
mod provision;
mod redis_programs;
mod run;
mod rust_text;
mod simulate;
mod source_rules;
mod test;
mod tidy;
mod tree;
mod variable_rules;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask TASK [OPTIONS]

Tasks:
  test             everything that CI checks; brings the tools that it needs
  tidy             the rules of the house that no other tool checks
  features         each feature and each package alone, the dependency budget
  it SERVER [FILTER]
                   the tests against a real server: vault, aws, azure, redis or all
  docs             rustdoc without warnings, links of the documentation
  bench [FILTER]   the benchmarks whose name contains FILTER, or all
  simulate-limits  six virtual hours against every kind of window; fails if a figure does
  fuzz [--cases N] [FILTER]
                   the fuzz_ tests with N random inputs each (default 100000)

docs/contributing.md explains each of them.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("", &[][..]),
    };
    let result = match task {
        "test" => run::no_arguments(task, rest).and_then(|()| test::run()),
        "tidy" => run::no_arguments(task, rest).and_then(|()| tidy::run()),
        "features" => run::no_arguments(task, rest).and_then(|()| features::run()),
        "docs" => run::no_arguments(task, rest).and_then(|()| docs::run()),
        "simulate-limits" => run::no_arguments(task, rest).and_then(|()| simulate::run()),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "it" => it::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        "" => return usage_error("which task?"),
        unknown => return usage_error(&format!("there is no task `{unknown}`")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {task}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn usage_error(message: &str) -> ExitCode {
    eprintln!("xtask: {message}\n\n{USAGE}");
    ExitCode::from(2)
}
