//! Makes the private environment: with uv where it is installed, else with Python's own venv and pip. Every package is
//! pinned, with its hashes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyrot_core::Vars;
use strategy_gen::PythonEnvironment;

use crate::failure::Failure;
use crate::progress::ProgressLine;

/// backtesting.py and all that it needs.
const REQUIREMENTS: &str = include_str!("python_requirements.txt");

/// The oldest Python that the pinned packages run on.
const OLDEST: &str = "3.11";

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

/// Pythons by the names they may have.
const PYTHONS: [&str; 5] = ["python3", "python3.13", "python3.12", "python3.11", "python"];

/// Makes it beside its place, then puts it there: what is in the place is always whole.
pub(crate) fn make(folder: &Path, vars: &Vars) -> Result<(), Failure> {
    let failed = |what: &str, error: io::Error| {
        Failure::failed(format!("{what} in {} failed: {error}", folder.display()))
    };
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| failed("making a folder", error))?;
    let draft = tempfile::Builder::new().prefix("python-").tempdir_in(parent);
    let draft = draft.map_err(|error| failed("making a folder", error))?;
    let requirements = draft.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| failed("writing", error))?;
    let place = draft.path().join("environment");
    let line = ProgressLine::saying("looking for uv and Python");
    let installer = Installer::find(vars)?;
    line.say("making the environment");
    installer.make(&place, vars)?;
    line.say("installing backtesting and what it needs (about 260 MB)");
    installer.install(&place, &requirements, vars)?;
    line.say("compiling");
    // What is run later may not write there.
    let python = place.join("bin").join("python");
    run(command(&python, vars).args(["-I", "-m", "compileall", "-q"]).arg(place.join("lib")))?;
    PythonEnvironment::at(&place).map_err(|error| Failure::failed(error.to_string()))?;
    let old = draft.path().join("old");
    match fs::rename(folder, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replacing", error)),
        _ => {}
    }
    fs::rename(&place, folder).map_err(|error| failed("moving", error))
}

/// What makes environments here.
#[derive(Debug)]
enum Installer {
    Uv(PathBuf),
    /// A Python with venv and pip.
    Python(PathBuf),
}

impl Installer {
    fn find(vars: &Vars) -> Result<Self, Failure> {
        let path = vars.text("PATH").unwrap_or_default();
        let find = |name: &str| {
            std::env::split_paths(path).map(|folder| folder.join(name)).find(|program| program.is_file())
        };
        if let Some(uv) = find("uv") {
            return Ok(Self::Uv(uv));
        }
        let new_enough = format!(
            "import sys, venv, ensurepip; sys.exit(sys.version_info < ({}))",
            OLDEST.replace('.', ", ")
        );
        PYTHONS
            .into_iter()
            .filter_map(find)
            .find(|python| run(command(python, vars).args(["-I", "-c", &new_enough])).is_ok())
            .map(Self::Python)
            .ok_or_else(|| {
                Failure::failed(format!(
                    "neither uv nor Python {OLDEST} or later with venv and pip is on the PATH; install one of them \
                     (Debian and Ubuntu: apt install python3-venv)"
                ))
            })
    }

    fn make(&self, place: &Path, vars: &Vars) -> Result<(), Failure> {
        match self {
            Self::Uv(uv) => {
                let at_least = format!(">={OLDEST}");
                let mut command = command(uv, vars);
                run(command.args(["venv", "--quiet", "--no-project", "--python", &at_least]).arg(place))
            }
            Self::Python(python) => run(command(python, vars).args(["-I", "-m", "venv"]).arg(place)),
        }
    }

    fn install(&self, place: &Path, requirements: &Path, vars: &Vars) -> Result<(), Failure> {
        let python = place.join("bin").join("python");
        let mut command = match self {
            Self::Uv(uv) => {
                let mut command = command(uv, vars);
                command.args(["pip", "install", "--quiet", "--python"]).arg(&python);
                command
            }
            Self::Python(_) => {
                let mut command = command(&python, vars);
                command.args([
                    "-I",
                    "-m",
                    "pip",
                    "--disable-pip-version-check",
                    "--no-input",
                    "install",
                    "--quiet",
                ]);
                command
            }
        };
        // Wheels only: a source distribution would run its own code here.
        run(command.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(requirements))
    }
}

/// A command with the variables that an installer may need, and no other.
fn command(program: &Path, vars: &Vars) -> Command {
    let mut command = Command::new(program);
    let prefixed = PASSED_ON_PREFIXES.into_iter().flat_map(|prefix| vars.names_with_prefix(prefix));
    let names = PASSED_ON.into_iter().chain(prefixed);
    command.env_clear().envs(names.filter_map(|name| Some((name, vars.text(name)?)))).stdin(Stdio::null());
    command
}

/// Runs it to its end. What it complained about is part of the failure.
fn run(command: &mut Command) -> Result<(), Failure> {
    let name = Path::new(command.get_program()).display().to_string();
    let output =
        command.output().map_err(|error| Failure::failed(format!("{name} cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = told.lines().rev().take(8).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(Failure::failed(format!("{name} ended with {}:\n{}", output.status, last.join("\n"))))
}
