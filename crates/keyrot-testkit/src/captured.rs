//! Everything that is logged in this process, at the finest level.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing_subscriber::filter::LevelFilter;

/// What was logged since the first [`Captured::begin`] of the process, by whichever test.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Begins to capture, if nobody has, what comes by `tracing` and by `log` (reqwest).
    ///
    /// # Panics
    /// If another subscriber or logger is set in this process.
    pub fn begin() -> Self {
        static LOG: OnceLock<Captured> = OnceLock::new();
        let begin = || {
            let captured = Self::default();
            let writer = captured.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(LevelFilter::TRACE)
                .with_writer(move || writer.clone());
            tracing::subscriber::set_global_default(subscriber.finish()).expect("no other subscriber");
            log::set_boxed_logger(Box::new(captured.clone())).expect("no other logger");
            log::set_max_level(log::LevelFilter::Trace);
            captured
        };
        LOG.get_or_init(begin).clone()
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// A test that panics beside this one must not hide what was logged.
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        self.bytes().extend_from_slice(line.as_bytes());
    }

    fn flush(&self) {}
}
