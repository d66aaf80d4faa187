//! The suite of all limiters, on Redis and on Valkey.

mod common;

use common::{Harness, Which};

async fn redis() -> Harness {
    Harness::new(Which::Redis).await
}

async fn valkey() -> Harness {
    Harness::new(Which::Valkey).await
}

mod on_redis {
    keyrot_testkit::rate_limiter_tests!(super::redis);
}

mod on_valkey {
    keyrot_testkit::rate_limiter_tests!(super::valkey);
}
