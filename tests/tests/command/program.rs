//! Runs the program in a folder of its own, with no variable but those that a test sets.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

/// Nothing here takes longer; a run that does hangs.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// A folder, and the variables of every run in it.
pub(crate) struct Program {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a run has left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new(variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self { folder, variables }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(executable());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = tokio::time::timeout(LONGEST_RUN, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("keyrot {arguments:?} does not end")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run {
            code: output.status.code().expect("no signal has ended it"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// The program lies beside the folder of the tests' own executables.
fn executable() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let name = format!("keyrot{}", env::consts::EXE_SUFFIX);
    let program = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(program.exists(), "{} is missing: cargo build -p keyrot-cli", program.display());
    program
}
