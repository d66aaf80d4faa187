//! Nothing gets out of the sandbox: what a strategy could try if it got past the gate, tried in plain Python, by
//! whoever runs the tests and by an ordinary user, with name spaces and without.
//!
//! The trials are made by a copy of this test in a process of its own, which has a key in its environment and in its
//! home: what is not there cannot be read by anybody.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keyrot_test_servers::wait_until;
use strategy_gen::{CannotRun, Isolation, Sandbox};
use tempfile::TempDir;

use crate::sandboxed::{COPY_OF_LAUNCHER, LAUNCHER};
use crate::trial::{PYTHON, Trial, python};

/// The user `nobody`.
const NOBODY: &str = "65534";

/// A copy of this test has it as its key.
const SENTINEL: &str = "sentinel-of-the-key";

/// How long something may take that is about to happen.
const SOON: Duration = Duration::from_secs(30);

async fn everything_is_stopped(isolation: Isolation) {
    let trial = Trial::new(isolation);
    let quote = |path: &Path| format!("{:?}", path.display().to_string());

    // It is alive and can compute, so that what follows proves something.
    assert_eq!(
        trial.tells("import math, json, decimal\nprint(math.sqrt(49), json.dumps([1]))").await,
        "7.0 [1]"
    );

    // The environment, its own and others'.
    assert_eq!(trial.tells("import os\nprint(sorted(os.environ))").await, "['LC_CTYPE']");
    let parent = std::process::id();
    let own = fs::read_to_string("/proc/self/environ").expect("this process may");
    assert!(own.contains(&format!("GEMINI_API_KEY={SENTINEL}")), "there is nothing to be read");
    for of in [parent.to_string(), "self".to_owned(), "1".to_owned()] {
        trial.stops("os", &format!("open('/proc/{of}/environ', 'rb').read()")).await;
    }
    trial.stops("os", "os.listdir('/proc')").await;

    // Files: the user's home, another folder, the system's, what the sandbox's own files are beside.
    let home = std::env::home_dir().expect("there is one");
    let at_home = home.join(".env");
    assert!(fs::read_to_string(&at_home).expect("this process may").contains(SENTINEL));
    let elsewhere = TempDir::new().expect("a folder");
    let secret = elsewhere.path().join("keys.json");
    fs::write(&secret, "sentinel").expect("it can be written");
    for path in [&at_home, &secret, Path::new("/etc/passwd"), Path::new("/etc/hostname")] {
        trial.stops("os", &format!("open({}).read()", quote(path))).await;
    }
    for folder in
        [&home, elsewhere.path(), Path::new("/"), Path::new("/home"), Path::new("/root"), Path::new("/etc")]
    {
        trial.stops("os", &format!("os.listdir({})", quote(folder))).await;
    }
    trial.stops("os", &format!("open({}, 'w')", quote(&elsewhere.path().join("new")))).await;
    trial.stops("os", &format!("os.truncate({}, 0)", quote(&secret))).await;
    trial.stops("os", &format!("os.remove({})", quote(&secret))).await;
    trial.stops("os", &format!("os.chmod({}, 0)", quote(&secret))).await;
    trial.stops("os", &format!("os.utime({}, (0, 0))", quote(&secret))).await;
    trial.stops("os", &format!("os.symlink({}, 'link') or open('link').read()", quote(&secret))).await;
    trial.stops("os", &format!("os.link({}, 'link')", quote(&secret))).await;
    trial.stops("os", &format!("open({}, 'w')", quote(&trial.folder.path().join("script.py")))).await;
    assert_eq!(fs::read_to_string(&secret).expect("it is still there"), "sentinel");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("it is still there").count(), 1);

    // The network: this machine, another one, a name, a Unix socket, a raw one.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it has an address").port();
    for attempt in [
        format!("socket.create_connection(('127.0.0.1', {port}), 3)"),
        "socket.create_connection(('192.0.2.1', 80), 3)".to_owned(),
        "socket.create_connection(('example.org', 80), 3)".to_owned(),
        "socket.socket(socket.AF_UNIX)".to_owned(),
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)".to_owned(),
        "socket.socketpair()".to_owned(),
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))".to_owned(),
    ] {
        trial.stops("socket", &attempt).await;
    }
    listener.set_nonblocking(true).expect("a socket can be asked");
    assert!(listener.accept().is_err(), "somebody has connected");

    // Processes.
    assert!(trial.stops("os", "[os.fork() for _ in range(10_000)]").await.contains("BlockingIOError"));
    trial.stops("subprocess", "subprocess.run(['/bin/true'])").await;
    trial.stops("os", "os.posix_spawn('/bin/true', ['true'], {})").await;
    trial.stops("os", "os.execv('/bin/sh', ['sh', '-c', 'echo reached'])").await;
    trial.stops("os", &format!("os.kill({parent}, 0)")).await;
    trial.stops("os", "os.kill(-1, 9)").await;
    assert!(
        trial.tells("import threading\ntry:\n    threading.Thread(target=print).start()\nexcept RuntimeError as e:\n    print(e)").await
            .contains("can't start new thread")
    );

    no_signal_reaches_others(&trial).await;

    // Memory, and what would be memory by another name.
    trial.stops("os", "len(bytearray(8 << 30))").await;
    trial.stops("os", "[bytearray(64 << 20) for _ in range(128)]").await;
    trial.stops("os", "os.memfd_create('x')").await;
    trial.stops("resource", "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))").await;

    // The disk: a file, many of them, in the scratch folder and beside it.
    trial.stops("os", "[open(f'{n}', 'wb', 0).write(bytes(8 << 20)) for n in range(100)]").await;
    trial.stops("os", "[open(f'{n}', 'wb').close() for n in range(10_000)]").await;
    let left = fs::read_dir(trial.folder.path().join("scratch")).expect("it is there").count();
    assert_eq!(left, 0, "the scratch folder on the disk was written to");
}

/// Calls by which a process signals, reads, changes or is bound to another one, each asked for by its number.
async fn no_signal_reaches_others(trial: &Trial) {
    let parent = i64::from(std::process::id());
    let prctl = |operation: i32, value: i64| (libc::SYS_prctl, vec![operation.into(), value, 0, 0, 0]);
    // The handle is a pipe's.
    let handle = |call, operation: i64, value: i64| (call, vec![3, operation, value]);
    let attempts = [
        prctl(libc::PR_SET_PDEATHSIG, 0),
        prctl(libc::PR_SET_DUMPABLE, 1),
        prctl(libc::PR_SET_PTRACER, -1),
        prctl(libc::PR_SET_KEEPCAPS, 1),
        prctl(libc::PR_SET_CHILD_SUBREAPER, 1),
        handle(libc::SYS_fcntl, libc::F_SETOWN.into(), parent),
        handle(libc::SYS_fcntl, 10, 9),     // F_SETSIG
        handle(libc::SYS_fcntl, 15, 0),     // F_SETOWN_EX
        handle(libc::SYS_ioctl, 0x8901, 0), // FIOSETOWN
        handle(libc::SYS_ioctl, 0x8902, 0), // SIOCSPGRP
        handle(libc::SYS_ioctl, 0x5452, 0), // FIOASYNC
        handle(libc::SYS_ioctl, 0x5412, 0), // TIOCSTI
        (libc::SYS_kill, vec![parent, 0]),
        (libc::SYS_tkill, vec![parent, 0]),
        (libc::SYS_tgkill, vec![parent, parent, 0]),
        (libc::SYS_rt_sigqueueinfo, vec![parent, 9, 0]),
        (libc::SYS_rt_tgsigqueueinfo, vec![parent, parent, 9, 0]),
        (libc::SYS_pidfd_open, vec![parent, 0]),
        (libc::SYS_pidfd_send_signal, vec![3, 9, 0, 0]),
        (libc::SYS_mq_notify, vec![3, 0]),
        (libc::SYS_timer_create, vec![0, 0, 0]),
        (libc::SYS_process_vm_readv, vec![parent, 0, 0, 0, 0, 0]),
        (libc::SYS_process_vm_writev, vec![parent, 0, 0, 0, 0, 0]),
        (libc::SYS_kcmp, vec![parent, parent, 0, 0, 0]),
        (libc::SYS_ptrace, vec![16, parent, 0, 0]),
        (libc::SYS_prlimit64, vec![parent, 7, 0, 0]),
        (libc::SYS_setpgid, vec![0, 0]),
        (libc::SYS_setsid, vec![]),
        (libc::SYS_io_uring_setup, vec![1, 0]),
        (libc::SYS_execveat, vec![-1, 0, 0, 0, 0]),
    ];
    let attempts = attempts.map(|(call, arguments)| [vec![call], arguments].concat());
    // EPERM or ENOSYS: whatever else came back, the kernel has looked at what was asked for.
    let ended = trial
        .run(&format!(
            "import ctypes, os\nsystem = ctypes.CDLL(None, use_errno=True)\nassert os.pipe()[0] == 3\nfor attempt in \
             {attempts:?}:\n    got = system.syscall(*map(ctypes.c_long, attempt))\n    if got != -1 or ctypes.get_errno() \
             not in (1, 38):\n        print(attempt, got, ctypes.get_errno())\nprint('all refused')\n",
        ))
        .await;
    let told = String::from_utf8_lossy(&ended.output);
    assert_eq!(told, "all refused\n", "{:?} {}", trial.sandbox.isolation, ended.complaint);
}

async fn endless_work_is_ended(isolation: Isolation) {
    let mut trial = Trial::new(isolation);
    trial.sandbox.limits.cpu = Duration::from_secs(1);
    let ended = trial.run("while True:\n    pass\n").await;
    assert!(!ended.timed_out && !ended.status.success(), "{:?}", ended.status);
    assert!(ended.signal().is_some(), "{:?}", ended.status);
    // What the kernel tells of a process on a busy machine is rough.
    assert!((0.3..=4.0).contains(&ended.cpu.as_secs_f64()), "{:?}", ended.cpu);

    trial.sandbox.limits.wall = Duration::from_secs(2);
    let ended = trial.run("import time\nprint('asleep', flush=True)\ntime.sleep(3600)\n").await;
    assert!(ended.timed_out, "{:?}", ended.status);
}

/// Folders in `/proc` of the processes that have this text in their command line.
fn processes(text: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir("/proc").expect("this is Linux").flatten().map(|folder| folder.path());
    let has = |folder: &PathBuf| {
        fs::read(folder.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    };
    folders.filter(has).collect()
}

fn runs(text: &str) -> bool {
    !processes(text).is_empty()
}

/// The name that a program takes once it has done all that it is to do.
const SETTLED: &str = "settled";

fn settled(text: &str) -> bool {
    let name = |folder: &PathBuf| fs::read_to_string(folder.join("comm")).unwrap_or_default();
    processes(text).iter().any(|folder| name(folder).trim() == SETTLED)
}

async fn dropping_it_ends_it(isolation: Isolation) {
    let trial = Trial::new(isolation);
    let marker = trial.folder.path().join("script.py").display().to_string();
    let program = trial.program("import time\ntime.sleep(3600)\n");
    let seen = wait_until("it runs", SOON, async || runs(&marker));
    tokio::select! {
        ended = trial.sandbox.run(&program) => panic!("{ended:?}"),
        () = seen => {}
    }
    wait_until("it is gone", SOON, async || !runs(&marker)).await;
}

/// Set for a copy of this test that is to be killed.
const TO_BE_KILLED: &str = "STRATEGY_GEN_TEST_PARENT";

#[tokio::test]
#[ignore = "needs Python: cargo xtask test"]
async fn a_program_does_not_outlive_a_parent_that_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how a copy of this test knows what it is")]
    if let Some(folder) = std::env::var_os(TO_BE_KILLED) {
        let mut trial =
            Trial::new(if folder == "full" { Isolation::Full } else { Isolation::WithoutNamespaces });
        trial.sandbox.limits.wall = Duration::from_secs(3600);
        // It tries to keep the kernel from ending it (PR_SET_PDEATHSIG), then takes another name (PR_SET_NAME).
        let script = format!(
            "import ctypes, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nctypes.CDLL(None).prctl(1, 0, 0, \
             0, 0)\nctypes.CDLL(None).prctl(15, b'{SETTLED}', 0, 0, 0)\ntime.sleep(3600)\n"
        );
        let marker = trial.folder.path().join("script.py");
        println!("\n{}", marker.display());
        panic!("{:?}", trial.run(&script).await);
    }
    for isolation in ["full", "without"] {
        let mut parent = Command::new(std::env::current_exe().expect("it has a name"))
            .args(["--exact", OUTLIVES])
            .args(["--include-ignored", "--nocapture"])
            .env(TO_BE_KILLED, isolation)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it can be started");
        let lines = BufReader::new(parent.stdout.take().expect("it is piped")).lines();
        let marker = lines.map_while(Result::ok).find(|line| line.ends_with("script.py")).expect("it begins");
        wait_until("it has settled", SOON, async || settled(&marker)).await;
        parent.kill().expect("it is there");
        parent.wait().expect("it is gone");
        wait_until("its program is gone", SOON, async || !runs(&marker)).await;
        fs::remove_dir_all(Path::new(&marker).parent().expect("a folder")).expect("it was left behind");
    }
}

async fn all_of_it() {
    for isolation in [Isolation::Full, Isolation::WithoutNamespaces] {
        everything_is_stopped(isolation).await;
        endless_work_is_ended(isolation).await;
        dropping_it_ends_it(isolation).await;
    }
}

/// Runs these tests in a copy of this program that has a key. `by` becomes the copy: a command that is given its name.
fn in_a_copy(by: &[&str], tests: &[&str]) {
    let home = TempDir::new().expect("a folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    fs::write(home.path().join(".env"), format!("GEMINI_API_KEY={SENTINEL}\n")).expect("it can be written");
    // What this was built into may be closed to other users.
    let copy = |program: &Path, name: &str| {
        let copy = home.path().join(name);
        fs::copy(program, &copy).expect("it can be copied");
        copy
    };
    let this = copy(&std::env::current_exe().expect("it has a name"), "tests");
    let launcher = copy(Path::new(LAUNCHER), "launcher");
    let [by, more @ ..] = by else { panic!("a program") };
    let output = Command::new(by)
        .args(more)
        .arg(this)
        .args(tests)
        .args(["--exact", "--include-ignored", "--nocapture"])
        .env("TMPDIR", home.path())
        .env("HOME", home.path())
        .env("GEMINI_API_KEY", SENTINEL)
        .env(COPY_OF_LAUNCHER, launcher)
        .env(PYTHON, python())
        .current_dir("/")
        .output()
        .expect("it can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("{} passed", tests.len())), "{told}");
}

fn is_a_copy() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how a copy of this test knows what it is")]
    std::env::var_os(PYTHON).is_some()
}

const BY_WHOEVER: &str = "escapes::escapes_are_stopped_for_whoever_runs_the_tests";
const BY_ANYBODY: &str = "escapes::escapes_are_stopped_for_an_ordinary_user";
const OUTLIVES: &str = "escapes::a_program_does_not_outlive_a_parent_that_is_killed";

#[tokio::test]
#[ignore = "needs Python: cargo xtask test"]
async fn escapes_are_stopped_for_whoever_runs_the_tests() {
    if is_a_copy() {
        return all_of_it().await;
    }
    in_a_copy(&["/usr/bin/env"], &[BY_WHOEVER]);
}

#[tokio::test]
#[ignore = "needs Python: cargo xtask test"]
async fn escapes_are_stopped_for_an_ordinary_user() {
    if is_a_copy() {
        return all_of_it().await;
    }
    let tests = [BY_ANYBODY, OUTLIVES];
    if rustix::process::geteuid().is_root() {
        in_a_copy(&["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"], &tests);
    } else {
        in_a_copy(&["/usr/bin/env"], &tests);
    }
}

#[tokio::test]
#[ignore = "needs Python: cargo xtask test"]
async fn where_nothing_can_be_isolated_nothing_is_run() {
    let mut trial = Trial::new(Isolation::Full);
    let program = trial.program("open('ran', 'w')");
    // A launcher that does not launch stands for a kernel that refuses.
    trial.sandbox = Sandbox::new(["/bin/false"]);
    let error = trial.sandbox.run(&program).await.expect_err("there is no sandbox");
    assert!(matches!(error, CannotRun::NoIsolation(_)), "{error}");
    trial.sandbox = Sandbox::new(["/bin/echo"]);
    let error = trial.sandbox.run(&program).await.expect_err("there is no sandbox");
    assert!(matches!(error, CannotRun::NoIsolation(_)), "{error}");
}
