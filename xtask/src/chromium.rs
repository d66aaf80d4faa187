//! Puts a headless Chromium beside the other programs of the tests, by the name `chromium`.

use std::path::Path;

use crate::debian::{link, on_path, unpack, wrap};
use crate::run;

/// By the names it may have, the smallest first.
const NAMES: [&str; 5] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The Debian package, and the program in it.
const PACKAGE: &str = "chromium-headless-shell";
const PROGRAM: &str = "usr/lib/chromium/chromium-headless-shell";

/// True if it is in `programs`.
pub(crate) fn is_in(programs: &Path) -> bool {
    programs.join("chromium").exists()
}

/// A link to it, in `programs`. `folder` is where to unpack it if it is not installed.
pub(crate) fn bring(folder: &Path, programs: &Path) -> Result<(), String> {
    let place = programs.join("chromium");
    if let Some(name) = NAMES.into_iter().find(|name| run::exists(name)) {
        return link(&on_path(name)?, &place);
    }
    if !run::exists("apt-get") {
        return Err("Chromium is not installed; the tests open the report of a strategy in it".to_owned());
    }
    println!("unpacking Chromium into target/tools");
    let root = unpack(&folder.join("chromium"), PACKAGE)
        .map_err(|error| format!("{error}\nor install it: apt-get install {PACKAGE}"))?;
    wrap(&root, PROGRAM, &place)
}
