//! How a limiter is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{Clock, ConfigError, SystemClock};

use crate::limiter::SqliteLimiter;
use crate::line::Line;
use crate::writer::Writer;

/// Where the file is and how it is used. Nothing is opened before the limiter is asked something.
///
/// ```no_run
/// use keyrot_ratelimit_sqlite::SqliteOptions;
/// # fn main() -> Result<(), keyrot_core::ConfigError> {
/// let limiter = SqliteOptions::new("/var/lib/shop/keyrot.db").pool("checkout").limiter()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    path: PathBuf,
    pool: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    tells_loss: bool,
}

impl SqliteOptions {
    /// The pool `default` in this file, 1 s for each operation. The file and its folder are made when
    /// they are needed: the file readable and writable by its owner alone.
    ///
    /// It must not be on a network file system: the processes share memory beside it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            pool: "default".to_owned(),
            timeout: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
            tells_loss: false,
        }
    }

    /// Pools of different names share nothing (`KEYROT_POOL`).
    #[must_use]
    pub fn pool(mut self, name: impl Into<String>) -> Self {
        self.pool = name.into();
        self
    }

    /// How long other processes that write to the file are waited for; one writes for less than a
    /// millisecond as a rule.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The wall clock that is counted by; it should be the same for all who share the file.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// [`Forgot`](keyrot_core::LimiterErrorKind::Forgot) when the file was made anew while it was in use, for
    /// a caller who keeps books of his own. By default counting begins anew, with a warning.
    #[must_use]
    pub fn tell_when_memory_is_lost(mut self) -> Self {
        self.tells_loss = true;
        self
    }

    /// The limiter, with its thread. That ends when the last clone is gone.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn limiter(self) -> Result<SqliteLimiter, ConfigError> {
        let path: Arc<Path> = self.path.into();
        let writer = Writer::new(Arc::clone(&path), self.pool, self.timeout, self.clock, self.tells_loss);
        let (line, served) = Line::new(writer);
        std::thread::Builder::new()
            .name("keyrot-sqlite".to_owned())
            .spawn(move || served.run())
            .map_err(|error| ConfigError::new(format!("no thread for {}: {error}", path.display())))?;
        Ok(SqliteLimiter::new(line, path))
    }
}
