//! Replaces a text file in one step, under a lock that all writers take: keys.json, `.env`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::ConfigError;

/// Gives the newest text (`None` if there is no file) to `change`, writes the text that comes back and returns what
/// came with it.
///
/// Whoever writes in this way does so under one lock (`<file>.lock` beside it), so nothing that another process saved
/// is lost; then the file is replaced in one step and flushed to the disk: a process that dies at any point leaves the
/// old or the new file. Permissions stay (a new file: owner only), a symbolic link is followed, the same text again
/// writes nothing. Blocks the thread, also while another process saves.
///
/// # Errors
/// That of `change`, with the file it is in; or the file cannot be read, locked or written. It is unchanged then.
pub fn update_file<T>(
    path: &Path,
    change: impl FnOnce(Option<&str>) -> Result<(String, T), ConfigError>,
) -> Result<T, ConfigError> {
    let file = behind_links(path)?;
    let _lock = lock(&file)?;
    let newest = match fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(ConfigError::file("read", &file, &error)),
    };
    let (text, made) = change(newest.as_deref()).map_err(|error| not_saved(&file, &error))?;
    if newest.as_deref() != Some(&text) {
        replace(&file, &text).map_err(|error| ConfigError::file("write", &file, &error))?;
    }
    Ok(made)
}

fn not_saved(path: &Path, error: &ConfigError) -> ConfigError {
    let mut problems = error.in_file(path).problems().to_vec();
    problems.push(format!("{} was not changed", path.display()));
    ConfigError::of(problems).unwrap_or_else(|| error.clone())
}

/// The file that a symbolic link leads to, also if that file does not exist yet.
fn behind_links(path: &Path) -> Result<PathBuf, ConfigError> {
    let mut file = path.to_owned();
    for _ in 0..40 {
        match fs::read_link(&file) {
            Ok(target) => file = file.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(file), // no link, or nothing there
        }
    }
    Err(ConfigError::new(format!("{} is a chain of more than 40 links", path.display())))
}

/// Waits for the lock. It lives in a file of its own, which is never removed: the file itself is
/// replaced by each save, and a lock on what was replaced locks nobody out. The system frees it when
/// the process ends in whatever way.
fn lock(file: &Path) -> Result<File, ConfigError> {
    let path = beside(file, ".lock");
    let failed = |error: std::io::Error| ConfigError::file("lock", &path, &error);
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let lock = lock.map_err(|error| match file.parent() {
        Some(folder) if error.kind() == ErrorKind::NotFound => {
            let (file, folder) = (file.display(), folder.display());
            ConfigError::new(format!("{file} cannot be written: there is no folder {folder}"))
        }
        _ => failed(error),
    })?;
    lock.lock().map_err(failed)?;
    Ok(lock)
}

/// `keys.json` + `.lock` = `keys.json.lock` in the same directory.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The new text goes into a second file, to the disk, and only then takes the place of the first.
/// Only the holder of the lock writes, so the second file has a fixed name: one that a killed process
/// left behind is taken away by the next save instead of lying there for ever.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let draft = beside(file, ".tmp");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_draft(&draft, file, text).and_then(|()| fs::rename(&draft, file));
    if written.is_err() {
        let _ = fs::remove_file(&draft); // the error that matters is the first
        return written;
    }
    flush_directory(file)
}

fn write_draft(draft: &Path, file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut output = options.open(draft)?;
    match fs::metadata(file) {
        Ok(existing) => keep_access(&output, &existing)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    output.write_all(text.as_bytes())?;
    output.sync_all()
}

/// The replaced file's owner (where this user may give files away) and permissions.
fn keep_access(output: &File, existing: &fs::Metadata) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = output.metadata()?;
        if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
            // only root may give files away; for others the file becomes theirs, as with an editor
            let _ = fchown(output, Some(existing.uid()), Some(existing.gid()));
        }
    }
    output.set_permissions(existing.permissions())
}

/// A rename survives a power cut only once its directory is on the disk.
fn flush_directory(file: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}
