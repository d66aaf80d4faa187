//! What goes wrong with the file, in words that say what to do.

use std::io;
use std::path::Path;

use keyrot_core::{LimiterError, LimiterErrorKind};
use rusqlite::{Error, ErrorCode};

/// The error for callers, with SQLite's own as its source.
pub(crate) fn sql_error(path: &Path, error: Error) -> LimiterError {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; make room, or name a place on another disk with KEYROT_STATE",
        Some(ErrorCode::SystemIoFailure) => {
            "; look for a full disk, a limit on the size of files (ulimit -f), or trouble of the disk"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            "; another process has held it for too long: look for one that is stopped"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; it and its folder must be writable, or name another place with KEYROT_STATE"
        }
        _ => "",
    };
    let message = format!("the limits in {} cannot be used: {error}{advice}", path.display());
    LimiterError::new(LimiterErrorKind::Unavailable, message).with_source(error)
}

pub(crate) fn io_error(what: &str, path: &Path, error: io::Error) -> LimiterError {
    let message = format!(
        "{} cannot be {what}: {error}; it and its folder must be writable, or name another place with KEYROT_STATE",
        path.display()
    );
    LimiterError::new(LimiterErrorKind::Unavailable, message).with_source(error)
}

/// The file is sound, but not one that this keyrot writes.
pub(crate) fn not_ours(path: &Path, what: &str) -> LimiterError {
    let message =
        format!("{} is {what}: it is left as it is. Name another place with KEYROT_STATE", path.display());
    LimiterError::new(LimiterErrorKind::Incompatible, message)
}

/// The file was made anew since the caller last asked.
pub(crate) fn forgotten(path: &Path) -> LimiterError {
    let message = format!("{} was made anew: what was counted before is gone", path.display());
    LimiterError::new(LimiterErrorKind::Forgot, message)
}

fn code(error: &LimiterError) -> Option<ErrorCode> {
    std::error::Error::source(error)?.downcast_ref::<Error>()?.sqlite_error_code()
}

/// SQLite's own error.
pub(crate) fn is_of_file(error: &LimiterError) -> bool {
    code(error).is_some()
}

/// Somebody else writes just now.
pub(crate) fn is_busy(error: &LimiterError) -> bool {
    let busy = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::FileLockingProtocolFailed];
    code(error).is_some_and(|code| busy.contains(&code))
}

/// What the file holds is no database, or a broken one.
pub(crate) fn is_damage(error: &LimiterError) -> bool {
    matches!(code(error), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}
