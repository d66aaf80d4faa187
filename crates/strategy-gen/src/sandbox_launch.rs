//! The launcher: our own program in a process of its own. It puts the sandbox on itself, then becomes the
//! program that is to run in it.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sandbox::{Isolation, Limits, Order, Program};
use crate::{sandbox_calls, sandbox_files};

/// The argument after which the order comes.
pub(crate) const LAUNCH: &str = "sandbox-launch";

/// Told before the program is begun: from here on, what happens is its doing.
pub(crate) const READY: &str = "ready\n";

/// Exit code of a launcher that could not begin.
const FAILED: u8 = 125;

/// Where the program is that makes name spaces.
const UNSHARE: [&str; 2] = ["/usr/bin/unshare", "/bin/unshare"];

/// If these arguments of a process ask it to be the launcher of a sandbox, becomes the program that is to run
/// in it, and returns only if that fails. `None` for any other arguments.
///
/// To be called first thing in `main`, before any thread is started: what is put on is put on this thread.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = strategy_gen::launch_if_asked(std::env::args_os()) {
///         return code;
///     }
///     // ... the program itself, which uses `Sandbox::new([std::env::current_exe()?])`.
///     std::process::ExitCode::SUCCESS
/// }
/// ```
pub fn launch_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    let this = arguments.next()?;
    if arguments.next()? != OsStr::new(LAUNCH) {
        return None;
    }
    let order = arguments.next().unwrap_or_default();
    let Err(problem) = launch(&this, &order);
    // The parent reads it.
    let _ = writeln!(std::io::stderr(), "{problem}");
    Some(ExitCode::from(FAILED))
}

fn launch(this: &OsStr, order: &OsStr) -> Result<Infallible, String> {
    let text = order.to_str().ok_or("the order is no text")?;
    let order: Order =
        serde_json::from_str(text).map_err(|error| format!("the order is not understood: {error}"))?;
    let namespaces = UNSHARE.iter().find(|path| Path::new(path).exists());
    if !order.inside {
        die_with(order.parent)?;
        if let (Isolation::Full, Some(unshare)) = (order.isolation, namespaces) {
            return enter_namespaces(unshare, this, order);
        }
    }
    if order.inside {
        mount_scratch(&order.program.scratch, order.limits.file)?;
    }
    std::env::set_current_dir(&order.program.scratch)
        .map_err(|error| format!("no scratch folder: {error}"))?;
    limit(&order.limits).map_err(|error| format!("the limits cannot be set: {error}"))?;
    if order.isolation != Isolation::None {
        drop_capabilities().map_err(|error| format!("capabilities cannot be dropped: {error}"))?;
        sandbox_files::restrict(&order.program, order.inside)?;
        sandbox_calls::restrict()?;
    }
    let mut out = std::io::stdout();
    out.write_all(READY.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("nobody listens: {error}"))?;
    let Program { program, arguments, environment, .. } = &order.program;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    Err(format!("{} cannot be executed: {}", program.display(), command.exec()))
}

/// From here on the kernel ends this process when its parent ends, be it by a crash.
fn die_with(parent: i32) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| format!("prctl: {error}"))?;
    // It may have ended before.
    match rustix::process::getppid() {
        Some(now) if now.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err("the process that asked for this is gone".to_owned()),
    }
}

/// User, network, process, mount, IPC and host name spaces of its own. This process waits outside, the launcher goes on
/// inside as the first process: when it ends, the kernel ends every other one there.
fn enter_namespaces(unshare: &str, this: &OsStr, order: Order) -> Result<Infallible, String> {
    let inner = serde_json::to_string(&Order { inside: true, ..order }).map_err(|error| error.to_string())?;
    let error = Command::new(unshare)
        .args([
            "--map-root-user",
            "--net",
            "--pid",
            "--mount",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child=KILL",
            "--",
        ])
        .arg(this)
        .args([LAUNCH, &inner])
        .env_clear()
        .exec();
    Err(format!("{unshare} cannot be executed: {error}"))
}

/// Memory that ends with the name space, not a folder of the disk.
fn mount_scratch(scratch: &Path, bytes: u64) -> Result<(), String> {
    use rustix::mount::{MountFlags, mount};
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options =
        std::ffi::CString::new(format!("size={bytes},nr_inodes=256,mode=0700")).map_err(|e| e.to_string())?;
    mount("scratch", scratch, "tmpfs", flags, options.as_c_str())
        .map_err(|error| format!("no scratch folder can be mounted: {error}"))
}

fn limit(limits: &Limits) -> rustix::io::Result<()> {
    let cpu = limits.cpu.as_secs().max(1);
    let set = |resource, soft, hard| setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) });
    // Between the two the runner can still say so itself.
    set(Resource::Cpu, cpu, cpu + 2)?;
    for (resource, most) in [
        (Resource::As, limits.memory),
        (Resource::Fsize, limits.file),
        (Resource::Nofile, 64),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ] {
        set(resource, most, most)?;
    }
    Ok(())
}

fn drop_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    // First, or becoming root again would give them back.
    rustix::thread::set_no_new_privs(true)?;
    rustix::thread::clear_ambient_capability_set()?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )
}
