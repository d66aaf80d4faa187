//! A server as a process: started, frozen, killed, started again, and gone with its owner.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;

use crate::wait::holds_within;

/// How long a server may take to answer for the first time, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(60);

/// A running server. It sees `PATH`, a home of its own and the variables it was given, nothing else of the environment.
///
/// It ends with this value. It stays in the process group of the test, so that it also ends with a test that is
/// interrupted or hangs.
#[derive(Debug)]
pub struct Process {
    command: Command,
    child: Child,
    log: PathBuf,
    // The last field: removed when the process is gone.
    home: TempDir,
}

impl Process {
    /// Starts `program` in a new empty folder, which is also its `HOME`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::spawn_in(new_home(), program, arguments, variables)
    }

    /// The same in a folder that exists already, with what the server reads at its start.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn_in<A: AsRef<OsStr>>(
        home: TempDir,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Self {
        let log = home.path().join("server.log");
        let file = File::options().create(true).append(true).open(&log).expect("the log can be written");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(home.path()).env_clear().envs(environment(home.path()));
        command.envs(variables.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("one more handle of a file"))
            .stderr(file);
        let child = start(&mut command);
        Self { command, child, log, home }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, empty at first but for the log.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What it has written to stdout and stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `answers` holds: the server has started.
    ///
    /// # Panics
    /// If the process ends instead, or takes a minute; the message shows its log.
    pub async fn wait_until_ready(&mut self, mut answers: impl AsyncFnMut() -> bool) {
        let name = self.command.get_program().display().to_string();
        let mut ended = None;
        let child = &mut self.child;
        let ready = holds_within(START, async || {
            ended = child.try_wait().expect("the state of a child is known");
            ended.is_some() || answers().await
        });
        let ready = ready.await;
        if let Some(status) = ended {
            panic!("{name} ended at its start ({status}):\n{}", self.log());
        }
        assert!(ready, "{name} did not answer within {START:?}:\n{}", self.log());
    }

    /// Stops it in its tracks: connections stay open and nothing is answered (`SIGSTOP`).
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // Until its last thread has stopped it may still answer.
        let stopped = waitpid(Some(self.pid()), WaitOptions::UNTRACED).expect("a child can be waited for");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "it ended instead: {stopped:?}");
    }

    /// Lets a frozen one go on (`SIGCONT`).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it, as a crash would (`SIGKILL`), and waits until it is gone.
    pub fn kill(&mut self) {
        // An error says that it has ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again as it was started first, in the same folder; kills it before if it still runs.
    pub fn restart(&mut self) {
        self.kill();
        self.child = start(&mut self.command);
    }

    fn pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has an id")
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is still ours: nobody has waited for it");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An empty folder for a server to be started in.
///
/// # Panics
/// If there is no place for temporary files.
#[must_use]
pub fn new_home() -> TempDir {
    tempfile::Builder::new().prefix("keyrot-server-").tempdir().expect("a temporary folder")
}

/// All that a program sees of the environment.
pub(crate) fn environment(home: &Path) -> [(&'static str, OsString); 3] {
    #[expect(clippy::disallowed_methods, reason = "programs are looked for where the test's own are")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    [("PATH", path), ("HOME", home.into()), ("TMPDIR", home.into())]
}

fn start(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::spawn(Path::new("sh"), ["-c", script], &[("GREETING", "hello")])
    }

    #[tokio::test]
    async fn it_sees_its_own_variables_only_and_starts_again_in_its_folder() {
        let mut process = shell("env >> seen; echo started; exec cat /dev/zero > /dev/null");
        let home = process.home().to_owned();
        let log = home.join("server.log");
        let started = |times| {
            move |log: &Path| std::fs::read_to_string(log).unwrap().matches("started").count() == times
        };
        process.wait_until_ready(async || started(1)(&log)).await;
        let seen = std::fs::read_to_string(home.join("seen")).unwrap();
        assert!(
            seen.contains("GREETING=hello") && seen.contains(&format!("HOME={}", home.display())),
            "{seen}"
        );
        assert!(!seen.contains("CARGO"), "{seen}");
        process.restart();
        process.wait_until_ready(async || started(2)(&log)).await;
        assert!(home.exists());
    }

    #[tokio::test]
    #[should_panic(expected = "no such option")]
    async fn one_that_ends_at_its_start_shows_its_log() {
        shell("echo no such option >&2; exit 1").wait_until_ready(async || false).await;
    }

    /// `R`unning, `S`leeping, s`T`opped; nothing once it is gone.
    #[cfg(target_os = "linux")]
    fn state(id: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_frozen_one_is_stopped_until_it_is_thawed() {
        let mut process = shell("exec cat /dev/zero > /dev/null");
        let id = process.id();
        process.freeze();
        crate::wait_until("it to stop", START, async || state(id) == Some('T')).await;
        process.thaw();
        crate::wait_until("it to go on", START, async || matches!(state(id), Some('R' | 'S'))).await;
        process.freeze();
        process.kill();
        assert_eq!(state(id), None, "a frozen one can be killed");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_left_of_one_that_was_started_again_or_dropped() {
        let mut process = shell("exec cat /dev/zero > /dev/null");
        let (first, home) = (process.id(), process.home().to_owned());
        process.restart();
        let second = process.id();
        assert_eq!((state(first), state(second).is_some()), (None, true));
        drop(process);
        assert_eq!((state(second), home.exists()), (None, false));
    }
}
