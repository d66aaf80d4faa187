//! Temporary folders of runs. One that was left behind, for its owner was killed, is removed when another is made.
//!
//! Each is locked as long as its owner lives: the kernel takes the lock away from whoever ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

/// What all of them are called, before other characters.
const PREFIX: &str = "keyrot-run-";

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct RunFolder {
    folder: TempDir,
    /// Given back after the folder has been removed. None on a file system without locks, where nobody removes it either.
    _lock: Option<File>,
}

impl RunFolder {
    /// A new one in the folder for temporary files.
    pub(crate) fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    fn new_in(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // Between the two somebody else may take it for one that was left behind.
            match lock(folder.path()) {
                Lock::Taken(lock) => return Ok(Self { folder, _lock: Some(lock) }),
                Lock::Unknown => return Ok(Self { folder, _lock: None }),
                Lock::OfAnother => {}
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

enum Lock {
    Taken(File),
    /// Somebody has it, or had it and has removed the folder.
    OfAnother,
    /// Locks do not work here.
    Unknown,
}

fn lock(folder: &Path) -> Lock {
    let same = |file: &File| {
        let (locked, there) = (file.metadata()?, fs::symlink_metadata(folder)?);
        Ok::<_, io::Error>(locked.ino() == there.ino() && locked.dev() == there.dev())
    };
    let file = match File::open(folder) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Lock::OfAnother,
        Err(_) => return Lock::Unknown,
    };
    match file.try_lock() {
        Ok(()) if same(&file).unwrap_or(false) => Lock::Taken(file),
        Ok(()) | Err(TryLockError::WouldBlock) => Lock::OfAnother,
        Err(TryLockError::Error(_)) => Lock::Unknown,
    }
}

/// Removes what is this user's and is not locked by a living process.
fn sweep(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_own = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|folder| folder.is_dir() && folder.uid() == user);
        // Held until it is removed.
        let Some(Lock::Taken(_lock)) = is_own.then(|| lock(&entry.path())) else { continue };
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::debug!(%error, folder = %entry.path().display(), "a folder of a run was left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_removed_and_nothing_else() {
        let parent = TempDir::new().unwrap();
        let place = |name: &str| parent.path().join(name);
        let held = RunFolder::new_in(parent.path()).unwrap();
        fs::write(held.path().join("order.json"), "{}").unwrap();
        fs::create_dir_all(place("keyrot-run-killed/scratch")).unwrap();
        fs::write(place("keyrot-run-killed/order.json"), "{}").unwrap();
        fs::create_dir(place("keyrot-other")).unwrap();
        fs::write(place("keyrot-run-file"), "").unwrap();
        std::os::unix::fs::symlink(place("keyrot-other"), place("keyrot-run-link")).unwrap();

        let other = RunFolder::new_in(parent.path()).unwrap();
        assert!(!place("keyrot-run-killed").exists());
        assert!(held.path().join("order.json").exists() && other.path().exists());
        for kept in ["keyrot-other", "keyrot-run-file", "keyrot-run-link"] {
            assert!(place(kept).symlink_metadata().is_ok(), "{kept}");
        }
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
    }
}
