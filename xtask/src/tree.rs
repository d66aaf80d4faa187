//! The text files of the work tree that are or would be in the repository.

use std::process::Command;

use crate::run;

/// One text file, with its path relative to the workspace.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The part after the last `/`.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// True for Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// True for the documentation that people read: the README and `docs/`.
    pub(crate) fn is_documentation(&self) -> bool {
        self.path == "README.md" || (self.path.starts_with("docs/") && self.path.ends_with(".md"))
    }
}

/// Every file that git tracks, and every new one that it does not ignore. Files that are not UTF-8 have no lines to
/// judge: their text is empty.
pub(crate) fn load() -> Result<Vec<File>, String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(run::root());
    let listing = run::output(&mut git)?;
    let mut paths: Vec<&str> = listing.split('\0').filter(|path| !path.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        match std::fs::read(run::root().join(path)) {
            Ok(bytes) => {
                files
                    .push(File { path: path.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() });
            }
            // Removed in the work tree and not yet in the index.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot read {path}: {error}")),
        }
    }
    Ok(files)
}

/// The file at `path`, if there is one.
pub(crate) fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    files.iter().find(|file| file.path == path)
}

/// A file for the tests of the rules.
#[cfg(test)]
pub(crate) fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}
