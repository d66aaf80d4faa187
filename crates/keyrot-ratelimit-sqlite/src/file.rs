//! The file itself: made for its owner alone, and moved aside when it is damaged.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use keyrot_core::{LimiterError, Millis};

use crate::error::io_error;
use crate::patience::Patience;

/// What SQLite keeps beside a database: its log, and the memory that the processes share.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Which file it is, whatever its name; `None` where the system does not say.
pub(crate) type Identity = Option<(u64, u64)>;

/// Waits for the right to open the file or to move it. The lock is a file of its own, which is never
/// removed; the system frees it when the process ends in whatever way.
pub(crate) fn lock(path: &Path, patience: &mut Patience<'_>) -> Result<File, LimiterError> {
    let beside = beside(path, ".lock");
    let failed = |error: io::Error| io_error("locked", &beside, error);
    make_folder(path).map_err(|error| io_error("made", path.parent().unwrap_or(path), error))?;
    let file = private().create(true).truncate(false).write(true).open(&beside).map_err(failed)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if patience.pause() => {}
            Err(TryLockError::WouldBlock) => {
                let text = "another process has held it for too long: look for one that is stopped";
                return Err(failed(io::Error::new(ErrorKind::TimedOut, text)));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Makes an empty file, readable and writable by its owner alone, unless there is one. What SQLite
/// puts beside it has the same permissions.
pub(crate) fn make(path: &Path) -> Result<(), LimiterError> {
    // never opened if it exists: closing it would free the locks that SQLite holds in this process
    match private().create_new(true).write(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io_error("made", path, error)),
        _ => Ok(()),
    }
}

/// Gives a damaged file another name, so that somebody can look at it; returns the name. The log goes
/// first: beside a new file it would be taken for the log of that.
pub(crate) fn move_aside(path: &Path, now: Millis) -> Result<PathBuf, LimiterError> {
    let aside = beside(path, &format!(".damaged-{now}"));
    for suffix in BESIDE {
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_error("moved aside", &beside(path, suffix), error));
            }
            _ => {}
        }
    }
    fs::rename(path, &aside).map_err(|error| io_error("moved aside", path, error))?;
    Ok(aside)
}

#[cfg(unix)]
pub(crate) fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Elsewhere a file that is open is neither moved nor removed.
#[cfg(not(unix))]
pub(crate) fn identity(_: &Path) -> Identity {
    None
}

/// The path with something behind its last name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
