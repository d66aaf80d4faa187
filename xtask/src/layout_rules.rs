//! Rules about the files themselves: where they lie, what they are called, how long they are.

use std::path::Path;

use crate::metadata::Workspace;
use crate::tree::{self, File};

/// The only things beside dot-files in the root.
const ROOT: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "crates",
    "docs",
    "keys_example.json",
    "tests",
    "xtask",
];

/// Names that say nothing about what is inside.
const EMPTY_FILE_NAMES: [&str; 9] = [
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "misc.rs",
    "mod.rs",
    "prelude.rs",
    "types.rs",
    "util.rs",
    "utils.rs",
];

const MAX_LINES: usize = 400;

/// Files that are one table from top to bottom.
const TABLES: [&str; 0] = [];

/// The root shows what the project is at a glance: nothing is added to it without a reason.
pub(crate) fn root_entries(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files {
        let entry = file.path.split('/').next().unwrap_or(&file.path);
        if !entry.starts_with('.') && !ROOT.contains(&entry) {
            findings.push(format!("{}: `{entry}` does not belong in the root", file.path));
        }
    }
    findings
}

/// A file is called after the idea in it.
pub(crate) fn file_names(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| EMPTY_FILE_NAMES.contains(&file.name()))
        .map(|file| format!("{}: name the file after the idea in it", file.path))
        .collect()
}

/// A file that outgrows the limit holds more than one idea.
pub(crate) fn file_lengths(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.is_rust() && !TABLES.contains(&file.path.as_str()))
        .filter_map(|file| {
            let lines = file.text.lines().count();
            (lines > MAX_LINES)
                .then(|| format!("{}: {lines} lines, {MAX_LINES} are allowed; split it by idea", file.path))
        })
        .collect()
}

/// Every package takes the lints of the workspace.
pub(crate) fn inherited_lints(workspace: &Workspace, files: &[File]) -> Vec<String> {
    let inherits = |file: &File| {
        let lints = file.text.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
        lints.take_while(|line| !line.starts_with('[')).any(|line| line.trim() == "workspace = true")
    };
    workspace
        .packages
        .iter()
        .filter(|package| !tree::find(files, &package.manifest).is_some_and(inherits))
        .map(|package| format!("{}: needs `[lints]` with `workspace = true`", package.manifest))
        .collect()
}

/// The beginnings of paths that mean something on one machine only: users' folders, and where this work tree lies.
pub(crate) fn paths_of_this_machine(root: &Path) -> Vec<String> {
    let mut paths: Vec<String> =
        ["root", "home", "Users", "tmp"].iter().map(|folder| format!("/{folder}/")).collect();
    for folder in [Some(root), root.parent()].into_iter().flatten() {
        let folder = folder.to_string_lossy().replace('\\', "/");
        if folder.len() > 1 {
            paths.push(format!("{}/", folder.trim_end_matches('/')));
        }
    }
    paths
}

/// A path of one machine helps nobody on another.
pub(crate) fn machine_paths(files: &[File], paths: &[String]) -> Vec<String> {
    lines_with(files, |line| {
        let path = paths.iter().find(|path| {
            line.match_indices(path.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + path.len()..].chars().next();
                // `docs/home/x` and `{folder}/tmp/x` are relative to something; `/home/...` is a way to say any.
                !before.is_some_and(|before| before.is_alphanumeric() || "._-}~".contains(before))
                    && after.is_some_and(|after| after.is_alphanumeric())
            })
        })?;
        Some(format!("`{path}` is a path of one machine; use a relative or a temporary one"))
    })
}

/// Registries are the ordinary clients' business.
pub(crate) fn registry_hosts(files: &[File]) -> Vec<String> {
    let hosts = [
        ["index.", "crates.io"],
        ["static.", "crates.io"],
        ["pypi", ".org"],
        ["files.python", "hosted.org"],
        ["registry.", "npmjs.org"],
        ["deb.", "debian.org"],
    ]
    .map(|parts| parts.concat());
    lines_with(files, |line| {
        let host = hosts.iter().find(|host| line.contains(host.as_str()))?;
        Some(format!("`{host}` is a registry's host; name the package, its client knows where it is"))
    })
}

/// Judges every line of every file but the lock file, which cargo writes.
fn lines_with(files: &[File], judge: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(message) = judge(line) {
                findings.push(format!("{}:{}: {message}", file.path, number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;
    use crate::tree::file;

    #[test]
    fn the_root_holds_only_what_it_is_meant_to() {
        let files = [file("README.md", ""), file(".deny.toml", ""), file("crates/a/src/lib.rs", "")];
        assert!(root_entries(&files).is_empty());
        let findings = root_entries(&[file("scripts/run.sh", "")]);
        assert!(findings[0].contains("`scripts`"), "{findings:?}");
    }

    #[test]
    fn a_name_that_says_nothing_is_refused_in_any_folder() {
        assert_eq!(file_names(&[file("crates/a/src/x/mod.rs", ""), file("utils.rs", "")]).len(), 2);
        assert!(file_names(&[file("crates/a/src/model.rs", "")]).is_empty());
    }

    #[test]
    fn a_source_file_ends_at_the_limit() {
        assert!(file_lengths(&[file("a.rs", &"x\n".repeat(MAX_LINES))]).is_empty());
        assert_eq!(file_lengths(&[file("a.rs", &"x\n".repeat(MAX_LINES + 1))]).len(), 1);
        assert!(file_lengths(&[file("a.json", &"x\n".repeat(MAX_LINES + 1))]).is_empty());
    }

    #[test]
    fn a_package_without_the_lints_of_the_workspace_is_named() {
        let package = Package {
            name: "a".to_owned(),
            manifest: "crates/a/Cargo.toml".to_owned(),
            features: Vec::new(),
            benches: Vec::new(),
            internal: Vec::new(),
        };
        let workspace = Workspace { packages: vec![package], target_folder: "target".into() };
        let check = |text| inherited_lints(&workspace, &[file("crates/a/Cargo.toml", text)]).len();
        assert_eq!(check("[lints]\nworkspace = true\n"), 0);
        assert_eq!(check("[lints]\n\n[dependencies]\nworkspace = true\n"), 1);
        assert_eq!(check("[package]\n"), 1);
    }

    #[test]
    fn a_path_of_a_machine_is_found_and_a_relative_one_is_not() {
        let paths = paths_of_this_machine(Path::new("/srv/build/keyrot"));
        let check = |line: &str| machine_paths(&[file("docs/a.md", line)], &paths).len();
        assert_eq!(check(&["see /ho", "me/jo/x"].concat()), 1);
        assert_eq!(check("open /srv/build/keyrot/README.md"), 1);
        assert_eq!(check("open /srv/build/other"), 1);
        assert_eq!(check("open target/tmp/x and {folder}/tmp/x"), 0);
        assert_eq!(check("mount a fresh /tmp"), 0);
        assert_eq!(check("https://example.com/srv/x"), 0);
    }

    #[test]
    fn a_registry_host_is_found_but_in_the_lock_file() {
        let text = ["https://py", "pi.org/simple"].concat();
        assert_eq!(registry_hosts(&[file("a.toml", &text)]).len(), 1);
        assert!(registry_hosts(&[file("Cargo.lock", &text)]).is_empty());
    }
}
