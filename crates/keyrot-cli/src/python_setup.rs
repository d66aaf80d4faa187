//! Makes the private environment: with uv where it is installed, else with Python's own venv and pip. Every package is
//! pinned, with its hashes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;

use keyrot_core::Vars;
use strategy_gen::PythonEnvironment;

use crate::failure::Failure;
use crate::output;
use crate::progress::ProgressLine;
use crate::python_process::{Processes, command};
use crate::session::stop_signal;

/// backtesting.py and all that it needs.
const REQUIREMENTS: &str = include_str!("python_requirements.txt");

/// The oldest Python that the pinned packages run on.
const OLDEST: &str = "3.11";

/// Held while an environment is made, by all processes that make it.
const LOCK: &str = "python.lock";

/// What the folder of an environment in the making is called, before six other characters.
const DRAFT: &str = "python-";

/// Loads what a strategy is run with.
const LOADS: [&str; 4] = ["-I", "-B", "-c", "import backtesting.test, numpy, pandas"];

/// Pythons by the names they may have.
const PYTHONS: [&str; 5] = ["python3", "python3.13", "python3.12", "python3.11", "python"];

/// Makes it beside its place, then puts it there: what is in the place is always whole. A signal ends what it has
/// started, and leaves nothing behind.
pub(crate) async fn make(folder: &Path, vars: &Vars) -> Result<(), Failure> {
    let (folder, vars) = (folder.to_owned(), vars.clone());
    until_stopped(move |processes| Setup { folder: &folder, vars: &vars, processes }.make()).await
}

/// That it can load what it is for.
pub(crate) async fn check(environment: &PythonEnvironment, vars: &Vars) -> Result<(), Failure> {
    let (python, vars) = (environment.python().to_owned(), vars.clone());
    until_stopped(move |processes| processes.run(command(&python, &vars).args(LOADS))).await
}

/// Does work that waits for processes. After a signal it is waited for, for it puts things in order.
async fn until_stopped(
    work: impl FnOnce(&Processes) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let processes = Arc::new(Processes::default());
    let begin = || {
        let processes = Arc::clone(&processes);
        tokio::task::spawn_blocking(move || work(&processes))
    };
    let mut done = pin!(async { begin().await });
    tokio::select! {
        biased; // signals are heard before it begins
        signal = stop_signal() => {
            processes.stop();
            // It failed, or had just succeeded.
            let _ = done.await;
            Err(Failure::stopped(signal))
        }
        done = &mut done => done.unwrap_or_else(|error| Err(Failure::failed(error.to_string()))),
    }
}

struct Setup<'a> {
    folder: &'a Path,
    vars: &'a Vars,
    processes: &'a Processes,
}

impl Setup<'_> {
    fn make(&self) -> Result<(), Failure> {
        let folder = self.folder;
        let failed = |what: &str, error: io::Error| {
            Failure::failed(format!("{what} in {} failed: {error}", folder.display()))
        };
        let parent = folder.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|error| failed("making a folder", error))?;
        let lock = lock(&parent.join(LOCK))?;
        self.processes.holding(lock);
        sweep(parent);
        let draft = tempfile::Builder::new().prefix(DRAFT).tempdir_in(parent);
        let draft = draft.map_err(|error| failed("making a folder", error))?;
        let requirements = draft.path().join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).map_err(|error| failed("writing", error))?;
        let place = draft.path().join("environment");
        let line = ProgressLine::saying("looking for uv and Python");
        self.install(&place, &requirements, &line)?;
        line.say("compiling");
        // What is run later may not write there.
        let python = place.join("bin").join("python");
        let compile = &mut command(&python, self.vars);
        self.processes.run(compile.args(["-I", "-m", "compileall", "-q"]).arg(place.join("lib")))?;
        PythonEnvironment::at(&place).map_err(|error| Failure::failed(error.to_string()))?;
        self.processes.run(command(&python, self.vars).args(LOADS))?;
        let old = draft.path().join("old");
        match fs::rename(folder, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replacing", error)),
            _ => {}
        }
        fs::rename(&place, folder).map_err(|error| failed("moving", error))
    }

    /// With uv; if that fails or is not there, with Python.
    fn install(&self, place: &Path, requirements: &Path, line: &ProgressLine) -> Result<(), Failure> {
        let with = |installer: &Installer| {
            line.say("making the environment");
            self.processes.run(&mut installer.making(place, self.vars))?;
            line.say("installing backtesting and what it needs (about 260 MB)");
            self.processes.run(&mut installer.installing(place, requirements, self.vars))
        };
        let Some(uv) = find("uv", self.vars).map(Installer::Uv) else {
            return with(&self.python()?);
        };
        let Err(failure) = with(&uv) else { return Ok(()) };
        if self.processes.are_stopped() {
            return Err(failure);
        }
        let Ok(python) = self.python() else { return Err(failure) };
        output::note(&format!("{}\nuv has failed; venv and pip are tried", failure.message()));
        // It may have begun.
        let _ = fs::remove_dir_all(place);
        with(&python)
    }

    /// A Python that is new enough and has venv and pip.
    fn python(&self) -> Result<Installer, Failure> {
        let new_enough = format!(
            "import sys, venv, ensurepip; sys.exit(sys.version_info < ({}))",
            OLDEST.replace('.', ", ")
        );
        PYTHONS
            .into_iter()
            .filter_map(|name| find(name, self.vars))
            .find(|python| {
                self.processes.run(command(python, self.vars).args(["-I", "-c", &new_enough])).is_ok()
            })
            .map(Installer::Python)
            .ok_or_else(|| {
                Failure::failed(format!(
                    "neither uv nor Python {OLDEST} or later with venv and pip is on the PATH; install one of them \
                     (Debian and Ubuntu: apt install python3-venv)"
                ))
            })
    }
}

/// Held until the last process that has it has ended.
fn lock(path: &Path) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("locking {} failed: {error}", path.display()));
    let file =
        File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::failed(format!(
            "another `keyrot python setup`, or what one that was killed has left running, holds {}; try again when it \
             has ended",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Removes the drafts of those that were killed: whoever holds the lock is the only one that makes any.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().to_string_lossy().starts_with(DRAFT)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_draft && let Err(error) = fs::remove_dir_all(entry.path()) {
            output::warning(&format!(
                "{} was left behind and cannot be removed: {error}",
                entry.path().display()
            ));
        }
    }
}

/// A program on the PATH.
fn find(name: &str, vars: &Vars) -> Option<PathBuf> {
    let path = vars.text("PATH").unwrap_or_default();
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// What makes environments here.
#[derive(Debug)]
enum Installer {
    Uv(PathBuf),
    /// A Python with venv and pip.
    Python(PathBuf),
}

impl Installer {
    fn making(&self, place: &Path, vars: &Vars) -> Command {
        let mut command = command(self.program(), vars);
        match self {
            Self::Uv(_) => {
                command.args(["venv", "--quiet", "--no-project", "--python", &format!(">={OLDEST}")])
            }
            Self::Python(_) => command.args(["-I", "-m", "venv"]),
        };
        command.arg(place);
        command
    }

    fn installing(&self, place: &Path, requirements: &Path, vars: &Vars) -> Command {
        let python = place.join("bin").join("python");
        let mut command = match self {
            Self::Uv(uv) => {
                let mut command = command(uv, vars);
                command.args(["pip", "install", "--quiet", "--python"]).arg(&python);
                command
            }
            Self::Python(_) => {
                let mut command = command(&python, vars);
                let pip = ["-I", "-m", "pip", "--disable-pip-version-check", "--no-input"];
                command.args(pip).args(["install", "--quiet"]);
                command
            }
        };
        // Wheels only: a source distribution would run its own code here. The list is complete: nothing else is looked for.
        command.args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r"]).arg(requirements);
        command
    }

    fn program(&self) -> &Path {
        match self {
            Self::Uv(program) | Self::Python(program) => program,
        }
    }
}
