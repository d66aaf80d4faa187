//! Programs of Debian packages, for the tests: those that are installed, or unpacked ones. Nobody has to be root, and no
//! service is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// Where an installed program is.
pub(crate) fn on_path(program: &str) -> Result<PathBuf, String> {
    #[expect(clippy::disallowed_methods, reason = "the search path is where installed programs are")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("`{program}` is not in a folder of PATH"))
}

/// Downloads and unpacks what `apt-get install` of this package would add here into `root`, which then stands for `/`.
///
/// Its package lists are kept apart from the system's, so that neither its state nor its locks matter.
pub(crate) fn unpack(root: &Path, package: &str) -> Result<PathBuf, String> {
    let root = root.to_owned();
    let apt = root.with_extension("apt");
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
    let plan = apt_get(&["install", "--simulate", "--no-install-recommends", package])?;
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

/// A script that runs an unpacked program with the libraries and fonts that came with it, under the same process id.
/// `program` is its path below `root`.
pub(crate) fn wrap(root: &Path, program: &str, script: &Path) -> Result<(), String> {
    let folders = |of: &Path| -> Result<Vec<PathBuf>, String> {
        let listing =
            std::fs::read_dir(of).map_err(|error| format!("cannot list {}: {error}", of.display()))?;
        Ok(listing.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
    };
    // Such as usr/lib/x86_64-linux-gnu and usr/lib/x86_64-linux-gnu/pulseaudio.
    let mut libraries = folders(&root.join("usr/lib"))?;
    for folder in libraries.clone() {
        libraries.extend(folders(&folder)?);
    }
    let libraries: Vec<String> = libraries.iter().map(|folder| folder.display().to_string()).collect();
    let program = root.join(program);
    let libraries = libraries.join(":");
    let fonts = if Path::new("/etc/fonts").exists() {
        Path::new("/etc/fonts").to_owned()
    } else {
        root.join("etc/fonts")
    };
    let text = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' FONTCONFIG_PATH='{}' exec '{}' \"$@\"\n",
        fonts.display(),
        program.display()
    );
    std::fs::write(script, text).map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    run::output(Command::new("chmod").arg("+x").arg(script))?;
    run::output(Command::new(script).arg("--version")).map(|_| ())
}

/// A link to a program, in place of whatever had the name.
#[cfg(unix)]
pub(crate) fn link(program: &Path, name: &Path) -> Result<(), String> {
    let _ = std::fs::remove_file(name);
    std::os::unix::fs::symlink(program, name)
        .map_err(|error| format!("cannot link {} to {}: {error}", name.display(), program.display()))
}

#[cfg(not(unix))]
pub(crate) fn link(_program: &Path, name: &Path) -> Result<(), String> {
    Err(format!(
        "{}: this program does not run on this system, nor do the tests that need it",
        name.display()
    ))
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
