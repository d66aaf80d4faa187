//! Runs a vendor's command to its end, as a user would.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::process::{environment, new_home};

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// What it wrote to stdout, without the line's end.
    ///
    /// # Panics
    /// If the exit code is not 0.
    pub fn success(self) -> String {
        assert!(self.code == Some(0), "exit code {:?}\n{}{}", self.code, self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }
}

/// Runs `program` with `input` on stdin. It sees `PATH`, an empty home of its own and `variables`.
///
/// # Panics
/// If it cannot be started.
pub async fn run_program<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    variables: &[(&str, &str)],
    input: &str,
) -> Ended {
    let home = new_home();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment(home.path())).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    // An error says that it does not care for its input.
    let _ = child.stdin.take().expect("stdin is a pipe").write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.expect("its output can be read");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
