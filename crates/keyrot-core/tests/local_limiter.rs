//! The limiter in memory: the suite of all limiters, and what is its own.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use keyrot_core::{LocalLimiter, ManualClock, Millis, RateLimiter};
use keyrot_testkit::rate_limiter::LimiterHarness;

struct InMemory {
    clock: ManualClock,
    limiter: LocalLimiter,
}

#[async_trait]
impl LimiterHarness for InMemory {
    async fn limiter(&self) -> Arc<dyn RateLimiter> {
        Arc::new(self.limiter.clone())
    }

    async fn set_wall(&self, wall: Millis) {
        self.clock.set_wall(UNIX_EPOCH + Duration::from_millis(wall));
    }
}

async fn fresh() -> InMemory {
    let clock = ManualClock::default();
    let limiter = LocalLimiter::new(Arc::new(clock.clone()));
    InMemory { clock, limiter }
}

keyrot_testkit::rate_limiter_tests!(fresh);
