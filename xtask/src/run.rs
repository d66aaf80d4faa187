//! Running commands and timing the steps of a task.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that started this task, with the workspace as its folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "cargo names itself to its children")]
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Runs `command` with the terminal's own streams; anything but exit code 0 is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot start `{}`: {error}", show(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", show(command))) }
}

/// Runs `command` and returns what it printed to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot start `{}`: {error}", show(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` failed ({})\n{stderr}", show(command), output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("`{}` printed something that is not UTF-8", show(command)))
}

/// True if `program` can be started here.
pub(crate) fn exists(program: impl AsRef<std::ffi::OsStr>) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs one step of a task under a heading, and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    println!("\n== {name}");
    #[expect(clippy::disallowed_methods, reason = "how long a step takes is for people only")]
    let started = Instant::now();
    let result = work();
    let took = started.elapsed().as_secs_f64();
    match &result {
        Ok(_) => println!("== {name}: ok, {took:.1} s"),
        Err(_) => println!("== {name}: failed after {took:.1} s"),
    }
    result
}

/// Refuses arguments that a task would otherwise ignore.
pub(crate) fn no_arguments(task: &str, arguments: &[String]) -> Result<(), String> {
    match arguments.first() {
        None => Ok(()),
        Some(found) => Err(format!("this task takes no arguments, found `{found}`: cargo xtask {task}")),
    }
}

fn show(command: &Command) -> String {
    let mut shown = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_arguments() {
        let error = run(&mut cargo(&["no-such-subcommand-here"])).unwrap_err();
        assert!(error.contains("cargo no-such-subcommand-here"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_told_apart_from_one_that_runs() {
        assert!(exists("cargo"));
        assert!(!exists("surely-no-such-program"));
    }

    #[test]
    fn an_argument_that_would_be_ignored_is_refused() {
        let error = no_arguments("tidy", &["--fix".to_owned()]).unwrap_err();
        assert!(error.contains("`--fix`"), "{error}");
    }
}
