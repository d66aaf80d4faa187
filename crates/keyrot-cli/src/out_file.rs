//! A file that is there as a whole or not at all, and never replaced by accident.

use std::fs::Permissions;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::failure::Failure;

/// A place for a result that is still to come. Made before anything is spent, so that a folder that cannot be written
/// to shows first.
#[derive(Debug)]
pub(crate) struct OutFile {
    path: PathBuf,
    overwrite: bool,
    file: NamedTempFile,
}

impl OutFile {
    /// Refuses a path that exists, unless it may be overwritten.
    pub(crate) fn prepare(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(Failure::usage(format!("{} is a folder; name a file", path.display())));
        }
        if !overwrite && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = Builder::new();
        builder.prefix(".keyrot-");
        if let Some(permissions) = ordinary() {
            builder.permissions(permissions);
        }
        let file = builder.tempfile_in(folder).map_err(|error| {
            Failure::usage(format!("cannot write to the folder {}: {error}", folder.display()))
        })?;
        Ok(Self { path: path.to_owned(), overwrite, file })
    }

    /// The whole text appears under the path in one step.
    pub(crate) fn write(mut self, text: &str) -> Result<(), Failure> {
        let failed = |error: std::io::Error, path: &Path| {
            Failure::failed(format!("cannot write {}: {error}", path.display()))
        };
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.as_file().sync_all());
        written.map_err(|error| failed(error, &self.path))?;
        let kept = match self.overwrite {
            true => self.file.persist(&self.path),
            false => self.file.persist_noclobber(&self.path),
        };
        match kept {
            Ok(_) => Ok(()),
            Err(refused) if refused.error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(exists(&self.path))
            }
            Err(refused) => Err(failed(refused.error, &self.path)),
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::usage(format!("{} exists; --force overwrites it", path.display()))
}

/// What a new file has, the process's umask taken off; a temporary file alone would be its owner's only.
#[cfg(unix)]
fn ordinary() -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

#[cfg(not(unix))]
fn ordinary() -> Option<Permissions> {
    None
}
