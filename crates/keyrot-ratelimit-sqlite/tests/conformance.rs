//! The suite of all limiters, each case on a file of its own.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use keyrot_core::{ManualClock, Millis, RateLimiter};
use keyrot_ratelimit_sqlite::SqliteOptions;
use keyrot_testkit::rate_limiter::LimiterHarness;
use tempfile::TempDir;

struct OnFile {
    folder: TempDir,
    clock: ManualClock,
}

#[async_trait]
impl LimiterHarness for OnFile {
    async fn limiter(&self) -> Arc<dyn RateLimiter> {
        let options = SqliteOptions::new(self.folder.path().join("state.db"));
        let options = options.timeout(Duration::from_secs(20)).clock(Arc::new(self.clock.clone()));
        Arc::new(options.limiter().unwrap())
    }

    async fn set_wall(&self, wall: Millis) {
        self.clock.set_wall(UNIX_EPOCH + Duration::from_millis(wall));
    }
}

async fn fresh() -> OnFile {
    OnFile { folder: tempfile::tempdir().unwrap(), clock: ManualClock::default() }
}

keyrot_testkit::rate_limiter_tests!(fresh);
