//! A server behind microburst, which answers with errors of Redis' own, cuts connections and takes its time.

use keyrot_test_servers::{Microburst, RedisOptions, RedisServer, wait_until};
use serde_json::json;

use crate::load::{PATIENCE, POLICIES, Service, now};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs microburst and redis-server: cargo xtask test"]
async fn microburst_says_loading_and_resets() {
    for policy in POLICIES {
        let server = RedisServer::start(RedisOptions::default()).await;
        let proxy = Microburst::before_redis(&server).await;
        let service = Service::start(proxy.url(), policy, &[]).await;
        for (what, fault) in [
            (
                "LOADING",
                json!({"error": {"code": "LOADING", "message": "Redis is loading the dataset in memory"}}),
            ),
            ("resets", json!({"reset": true})),
            ("400 ms for each answer", json!({"latency": 400})),
        ] {
            let load = service.load();
            load.serves(100).await;
            let mut rule = fault;
            rule["service"] = json!("redis");
            proxy.add_rule(&rule).await;
            service.is_away().await;
            load.serves(500).await;
            assert!(!proxy.fired().await.is_empty());
            proxy.clear().await;
            let back = service.is_back(now()).await;
            load.serves(100).await;
            load.end(&format!("microburst: {what}"), &service, Some(back)).await;
        }
        println!("  {} calls more counted than sent", service.counted_beyond().await);
        // now and then only: each is an outage of its own
        let load = service.load();
        for _ in 0..5 {
            let before = proxy.fired().await.len();
            proxy
                .add_rule(&json!({"service": "redis", "operation": "evalsha", "reset": true, "times": 1}))
                .await;
            wait_until("a cut connection", PATIENCE, async || proxy.fired().await.len() > before).await;
            load.serves(20).await;
            service.is_back(now()).await;
        }
        load.end("microburst: single resets", &service, None).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}
