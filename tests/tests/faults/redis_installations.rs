//! Installations of several servers that lose one.

use keyrot_test_servers::{RedisCluster, RedisOptions, RedisSentinels};

use crate::load::{POLICIES, Service, writable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn sentinels_that_lose_their_master() {
    for policy in POLICIES {
        let mut sentinels = RedisSentinels::start().await;
        let ports: Vec<String> = sentinels.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let (password, name) = (sentinels.password(), sentinels.name());
        let url = format!("redis+sentinel://:{password}@{}/{name}", ports.join(","));
        let own = [("KEYROT_REDIS_SENTINEL_PASSWORD", sentinels.sentinel_password())];
        let service = Service::start(&url, policy, &own).await;
        let load = service.load();
        load.serves(200).await;
        assert_eq!(service.degraded(), None, "{}", service.notices());
        let master = sentinels.master().await;
        let old = master.port();
        master.process().kill();
        service.is_away().await;
        sentinels.wait_for_another_master(old).await;
        let back = service.is_back(writable(sentinels.master().await).await).await;
        load.serves(200).await;
        load.end("a failover by sentinels", &service, Some(back)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_cluster_that_loses_a_node() {
    for policy in POLICIES {
        let mut cluster = RedisCluster::start(RedisOptions::default()).await;
        let urls = cluster.urls();
        let hosts: Vec<&str> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
        let url = format!("redis+cluster://{}", hosts.join(","));
        let place = cluster.node_of("{default}").await;
        for (which, node) in [("the pool's", place), ("another", (place + 1) % 3)] {
            let service = Service::start(&url, policy, &[]).await;
            let load = service.load();
            load.serves(200).await;
            assert_eq!(service.degraded(), None, "{}", service.notices());
            let node = &mut cluster.nodes()[node];
            node.process().kill();
            load.serves(1_000).await;
            node.restart().await;
            cluster.wait_until_whole().await;
            let back = service.is_back(now_writable(&cluster.nodes()[place]).await).await;
            load.serves(200).await;
            load.end(&format!("a cluster that loses {which} node"), &service, Some(back)).await;
        }
    }
}

/// As the pool's own node sees it: a key with its hash tag.
async fn now_writable(node: &keyrot_test_servers::RedisServer) -> std::time::Instant {
    keyrot_test_servers::wait_until("a node that takes writes", crate::load::PATIENCE, async || {
        node.cli_with(["set", "{default}probe", "1"]).await.stdout.trim_end() == "OK"
    })
    .await;
    crate::load::now()
}
