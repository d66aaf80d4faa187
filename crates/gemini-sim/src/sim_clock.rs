//! Simulated time for the server: real time, or a multiple of it.

use std::time::{Duration, Instant, SystemTime};

/// Wall time that began at a chosen moment and runs at a chosen speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimClock {
    start_ms: u64,
    began: Instant,
    speed: f64,
}

#[expect(clippy::disallowed_methods, reason = "the server's one source of real time")]
impl SimClock {
    /// Begins now; `start_ms` (ms since 1970) is the simulated time at this moment, default: the real one.
    pub(crate) fn new(start_ms: Option<u64>, speed: f64) -> Self {
        let wall = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start_ms = start_ms.unwrap_or_else(|| u64::try_from(wall().as_millis()).unwrap_or(u64::MAX));
        Self { start_ms, began: Instant::now(), speed }
    }

    /// Simulated time at which it began, in ms since 1970.
    pub(crate) fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// Simulated time in ms since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = self.began.elapsed().mul_f64(self.speed);
        self.start_ms + u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX - self.start_ms)
    }

    /// Waits for so much simulated time.
    pub(crate) async fn wait(&self, simulated: Duration) {
        if simulated.is_zero() {
            // Even then others get their turn, and what was written is flushed.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(simulated.div_f64(self.speed)).await;
        }
    }
}
