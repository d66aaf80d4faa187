//! The processes that make the private environment: what they get of this one's variables, and how they are ended.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyrot_core::Vars;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::failure::Failure;

/// What a package installer may need of the environment: how to reach an index, never a key.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
];
/// The installers' own settings, such as the address of a company's index.
const PASSED_ON_PREFIXES: [&str; 2] = ["PIP_", "UV_"];

/// A command with the variables that an installer may need, and no other.
pub(crate) fn command(program: &Path, vars: &Vars) -> Command {
    let mut command = Command::new(program);
    let prefixed = PASSED_ON_PREFIXES.into_iter().flat_map(|prefix| vars.names_with_prefix(prefix));
    let names = PASSED_ON.into_iter().chain(prefixed);
    command.env_clear().envs(names.filter_map(|name| Some((name, vars.text(name)?))));
    command
}

/// One process at a time, with all that it starts.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    state: Mutex<State>,
    lock: Mutex<Option<File>>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    /// The group of one that has not been waited for, so that its number is still its own.
    Running(Pid),
    Stopped,
}

impl Processes {
    /// From here on each process holds this lock as its standard input, an empty file: it is held as long as any lives,
    /// also when this program was killed.
    pub(crate) fn holding(&self, lock: File) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }

    /// Ends the one that is running, and keeps others from being started.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        if let State::Running(group) = *state {
            // Gone already is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
        *state = State::Stopped;
    }

    pub(crate) fn are_stopped(&self) -> bool {
        matches!(*self.state(), State::Stopped)
    }

    /// Runs it and all that it starts to the end. What it complained about is part of the failure.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), Failure> {
        let name = Path::new(command.get_program()).display().to_string();
        let failed = |error: std::io::Error| Failure::failed(format!("{name} cannot be run: {error}"));
        command
            .stdin(self.input().map_err(failed)?)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut state = self.state();
        if matches!(*state, State::Stopped) {
            return Err(Failure::failed("stopped"));
        }
        let mut child = command.spawn().map_err(failed)?;
        let pid = Pid::from_child(&child);
        *state = State::Running(pid);
        drop(state);
        let mut told = Vec::new();
        // It ends when the last one has ended that could tell something.
        let read = child.stderr.take().map_or(Ok(0), |mut stderr| stderr.read_to_end(&mut told));
        let ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let mut state = self.state();
        if matches!(*state, State::Running(_)) {
            *state = State::Between;
        }
        drop(state);
        let status = child.wait().map_err(failed)?;
        read.map_err(failed)?;
        ended.map_err(|error| failed(error.into()))?;
        if status.success() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&told);
        let last: Vec<&str> = told.lines().rev().take(8).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(Failure::failed(format!("{name} ended with {status}:\n{}", last.join("\n"))))
    }

    fn input(&self) -> std::io::Result<Stdio> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = lock.as_ref().map(File::try_clone).transpose()?;
        Ok(copy.map_or_else(Stdio::null, Stdio::from))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
