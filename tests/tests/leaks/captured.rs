//! Everything that is logged in this process, at the finest level.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use keyrot_testkit::leak::assert_absent;
use tracing_subscriber::filter::LevelFilter;

use crate::SENTINELS;

/// Clones write into the same text.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Begins to capture, if nobody has, what comes by `tracing` and by `log`.
    pub(crate) fn begin() -> Self {
        static LOG: OnceLock<Captured> = OnceLock::new();
        let begin = || {
            let captured = Self::default();
            let writer = captured.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_writer(move || writer.clone());
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
            log::set_boxed_logger(Box::new(captured.clone())).unwrap();
            log::set_max_level(log::LevelFilter::Trace);
            captured
        };
        LOG.get_or_init(begin).clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Fails if a sentinel was logged, or nothing at all.
    pub(crate) fn assert_clean(&self) {
        let text = self.text();
        assert!(text.contains("keyrot.attempt"), "the log was not captured: {text}");
        assert_absent(&text, &SENTINELS);
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
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
        writeln!(self.clone(), "{} {}", record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}
