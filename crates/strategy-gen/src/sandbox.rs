//! Starts a program in the sandbox, reads what it says, and ends it when it has to end.
//!
//! docs/security.md says what each layer stops. The layers are put on by the program that is started, which
//! is our own: see `sandbox_launch.rs`.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyrot_core::{Clock, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::runner::CannotRun;
use crate::sandbox_launch::{LAUNCH, READY};

/// What a program in the sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Processor time; default 40 s.
    pub cpu: Duration,
    /// Time on the clock; default 90 s.
    pub wall: Duration,
    /// Bytes of memory; default 512 MiB.
    pub memory: u64,
    /// Bytes of one file, and of the whole scratch folder; default 16 MiB.
    pub file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(40),
            wall: Duration::from_secs(90),
            memory: 512 << 20,
            file: 16 << 20,
        }
    }
}

/// How much is put between a program and this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Files by Landlock, system calls by seccomp, limits, and name spaces of its own where the kernel grants
    /// them. Without Landlock or seccomp nothing is run.
    Full,
    /// The same without name spaces.
    WithoutNamespaces,
    /// Limits only. Whatever is run can do what its user can.
    None,
}

/// How programs are started in the sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    launcher: Vec<OsString>,
    /// What a program may use.
    pub limits: Limits,
    /// What is put around it.
    pub isolation: Isolation,
}

/// A program and what it needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// The file to execute.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Folders and files that it may read, beside the system's libraries.
    pub read: Vec<PathBuf>,
    /// Files that it may execute: itself, by its true name.
    pub execute: Vec<PathBuf>,
    /// The folder it runs in. With name spaces it may write there, into memory; without, nowhere.
    pub scratch: PathBuf,
}

/// A program, as the launcher gets it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) isolation: Isolation,
    /// Who started it.
    pub(crate) parent: i32,
    /// The name spaces are there.
    pub(crate) inside: bool,
}

/// A program that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// The sandbox was put on, and the program begun. If not, `complaint` says why.
    pub ready: bool,
    /// What it wrote to its standard output; the first 32 MiB.
    pub output: Vec<u8>,
    /// What it wrote to its standard error; the last 16 KiB.
    pub complaint: String,
    /// How it ended.
    pub status: ExitStatus,
    /// It was ended at the limit of time on the clock.
    pub timed_out: bool,
    /// The processor time it used.
    pub cpu: Duration,
}

impl Ended {
    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        // The program that made the name spaces ends itself by the signal that ended the first one in them. It fails to
        // do so for SIGKILL (util-linux 2.38), and says so.
        let killed = || self.complaint.lines().next_back()?.starts_with(UNSHARE_FAILED).then_some(KILL);
        self.status.signal().or_else(killed)
    }
}

const UNSHARE_FAILED: &str = "unshare: sigprocmask unblock failed";
const KILL: i32 = Signal::KILL.as_raw();

/// Most of a report that is kept: 40 000 bars with their equity.
const OUTPUT_BYTES: usize = 32 << 20;
/// Most of the complaints that is kept.
const COMPLAINT_BYTES: usize = 16 << 10;

impl Sandbox {
    /// With a program that hands its arguments to [`launch_if_asked`](crate::launch_if_asked), and arguments to
    /// put before those.
    pub fn new(launcher: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            launcher: launcher.into_iter().map(Into::into).collect(),
            limits: Limits::default(),
            isolation: Isolation::Full,
        }
    }

    /// Runs a program. Dropping the future ends it and all that it started.
    ///
    /// Where the kernel grants no name spaces, it is run without them. The error says why nothing was run.
    pub async fn run(&self, program: &Program) -> Result<Ended, CannotRun> {
        let ended = self.run_with(program, self.isolation).await?;
        if ended.ready || ended.timed_out || self.isolation != Isolation::Full {
            return ready(ended);
        }
        tracing::debug!(complaint = ended.complaint.trim(), "no name spaces");
        ready(self.run_with(program, Isolation::WithoutNamespaces).await?)
    }

    async fn run_with(&self, program: &Program, isolation: Isolation) -> Result<Ended, CannotRun> {
        let (limits, program) = (self.limits, program.clone());
        let parent = rustix::process::getpid().as_raw_nonzero().get();
        let order = Order { program, limits, isolation, parent, inside: false };
        let alive = Arc::new(Alive::default());
        let _end = EndOnDrop(Arc::clone(&alive));
        let (sender, ended) = oneshot::channel();
        let launcher = self.launcher.clone();
        // Its own thread: the kernel ends the program when the thread ends that started it.
        let thread = std::thread::Builder::new().name("sandbox".to_owned());
        let work = move || drop(sender.send(run(&launcher, &order, &alive)));
        thread
            .spawn(work)
            .map_err(|error| CannotRun::Broken(format!("no thread can be started: {error}")))?;
        let died = || Err("the thread that watched the program has died".to_owned());
        ended.await.unwrap_or_else(|_| died()).map_err(CannotRun::Broken)
    }
}

fn ready(ended: Ended) -> Result<Ended, CannotRun> {
    match ended.ready {
        true => Ok(ended),
        false if ended.timed_out => Err(CannotRun::Broken("the sandbox was not ready in time".to_owned())),
        false => Err(CannotRun::NoIsolation(match ended.complaint.trim() {
            "" => format!("the launcher ended with {}", ended.status),
            complaint => complaint.lines().last().unwrap_or_default().to_owned(),
        })),
    }
}

/// The process group of a program that has not been waited for, so that its number is still its own.
#[derive(Debug, Default)]
struct Alive(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Waiting,
    Running(Pid),
    Over,
}

impl Alive {
    /// Ends it, and keeps it from being started.
    fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(group) = *state {
            // Gone already is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
        *state = State::Over;
    }

    /// Starts it, unless it is over.
    fn start(&self, command: &mut Command) -> Result<(Child, Pid), String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Over) {
            return Err("cancelled".to_owned());
        }
        let child = command.spawn().map_err(|error| {
            format!("{} cannot be started: {error}", command.get_program().to_string_lossy())
        })?;
        let pid = Pid::from_child(&child);
        *state = State::Running(pid);
        Ok((child, pid))
    }
}

struct EndOnDrop(Arc<Alive>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn run(launcher: &[OsString], order: &Order, alive: &Alive) -> Result<Ended, String> {
    let Some((program, arguments)) = launcher.split_first() else {
        return Err("the sandbox has no launcher".to_owned());
    };
    let order_text = serde_json::to_string(order).map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args([LAUNCH, &order_text])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let (mut child, pid) = alive.start(&mut command)?;
    let watched = watch(&mut child, pid, order.limits.wall, alive);
    let cpu = cpu_time(pid);
    // All of the group, while its number is still taken.
    alive.end();
    let status = child.wait().map_err(|error| format!("the program cannot be waited for: {error}"))?;
    let Watched { output, complaint, timed_out } = watched?;
    let complaint = String::from_utf8_lossy(&complaint).into_owned();
    let ready = output.strip_prefix(READY.as_bytes()).map(<[u8]>::to_vec);
    let (ready, output) = (ready.is_some(), ready.unwrap_or_default());
    Ok(Ended { ready, output, complaint, status, timed_out, cpu })
}

struct Watched {
    output: Vec<u8>,
    complaint: Vec<u8>,
    timed_out: bool,
}

/// Reads until the program ends or its time is up.
fn watch(child: &mut Child, pid: Pid, wall: Duration, alive: &Alive) -> Result<Watched, String> {
    let broken = |error: rustix::io::Errno| format!("the program cannot be watched: {error}");
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the program has no pipes".to_owned());
    };
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(broken)?;
    rustix::io::ioctl_fionbio(&stdout, true).map_err(broken)?;
    rustix::io::ioctl_fionbio(&stderr, true).map_err(broken)?;
    let mut watched = Watched { output: Vec::new(), complaint: Vec::new(), timed_out: false };
    let (mut out_open, mut err_open) = (true, true);
    let deadline = SystemClock.now() + wall;
    loop {
        let left = deadline.saturating_duration_since(SystemClock.now());
        if left.is_zero() && !watched.timed_out {
            watched.timed_out = true;
            alive.end();
        }
        let mut fds = vec![PollFd::new(&ended, PollFlags::IN)];
        fds.extend(out_open.then(|| PollFd::new(&stdout, PollFlags::IN)));
        fds.extend(err_open.then(|| PollFd::new(&stderr, PollFlags::IN)));
        match poll(&mut fds, (!watched.timed_out).then(|| timespec(left)).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(broken(error)),
        }
        let over = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        out_open = out_open && read_some(&mut stdout, &mut watched.output, OUTPUT_BYTES, Keep::First);
        err_open = err_open && read_some(&mut stderr, &mut watched.complaint, COMPLAINT_BYTES, Keep::Last);
        if over {
            return Ok(watched);
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[derive(Clone, Copy)]
enum Keep {
    First,
    Last,
}

/// What is there now. False at the end.
fn read_some(from: &mut impl Read, into: &mut Vec<u8>, limit: usize, keep: Keep) -> bool {
    let mut buffer = [0; 65_536];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        };
        into.extend_from_slice(buffer.get(..read).unwrap_or_default());
        match keep {
            Keep::First => into.truncate(limit),
            Keep::Last => drop(into.drain(..into.len().saturating_sub(limit))),
        }
    }
}

/// Processor time of an ended process that has not been waited for, and of its own children.
fn cpu_time(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name in brackets may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second())
}
