//! The suite of all limiters, on Redis and on Valkey, each case on a server of its own.
#![expect(clippy::expect_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{ManualClock, Millis, RateLimiter};
use keyrot_ratelimit_redis::{RedisAddress, RedisOptions};
use keyrot_test_servers::{self as servers, RedisServer};
use keyrot_testkit::rate_limiter::LimiterHarness;

struct OnServer {
    server: RedisServer,
    clock: ManualClock,
}

#[async_trait]
impl LimiterHarness for OnServer {
    async fn limiter(&self) -> Arc<dyn RateLimiter> {
        let url = SecretString::from(self.server.url());
        let address = RedisAddress::parse("REDIS_URL", &url).expect("the server's address");
        let options = RedisOptions::new(address).timeout(Duration::from_secs(20));
        Arc::new(options.count_by(Arc::new(self.clock.clone())).limiter().expect("a limiter"))
    }

    async fn set_wall(&self, wall: Millis) {
        self.clock.set_wall(UNIX_EPOCH + Duration::from_millis(wall));
    }
}

async fn redis() -> OnServer {
    on(servers::RedisOptions::default()).await
}

async fn valkey() -> OnServer {
    on(servers::RedisOptions::default().valkey()).await
}

async fn on(options: servers::RedisOptions) -> OnServer {
    OnServer { server: RedisServer::start(options).await, clock: ManualClock::default() }
}

mod on_redis {
    keyrot_testkit::rate_limiter_tests!(super::redis; "needs redis-server: cargo xtask test");
}

mod on_valkey {
    keyrot_testkit::rate_limiter_tests!(super::valkey; "needs valkey-server: cargo xtask test");
}
