//! One server that dies, freezes, forgets or follows another one.

use keyrot_test_servers::{RedisOptions, RedisServer};
use serde_json::json;

use crate::load::{POLICIES, Service, now, writable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn killed_and_back_with_nothing() {
    for policy in POLICIES {
        let mut server = RedisServer::start(RedisOptions::default()).await;
        let service = Service::start(&server.url(), policy, &[]).await;
        let load = service.load();
        load.serves(200).await;
        assert_eq!(service.degraded(), None);
        server.process().kill();
        service.is_away().await;
        load.serves(1_000).await;
        let status = service.status().await;
        assert_eq!((&status["scope"], &status["degraded"]), (&json!("redis"), &json!(policy)));
        server.restart().await;
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        load.end("kill -9, empty after it", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
        assert_eq!(service.status().await["degraded"], json!(null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn there_only_after_the_pool() {
    for policy in POLICIES {
        let mut server = RedisServer::start(RedisOptions::default()).await;
        server.process().kill();
        let service = Service::start(&server.url(), policy, &[]).await;
        assert!(service.notices().contains("cannot be used"), "{}", service.notices());
        let load = service.load();
        load.serves(200).await;
        assert_eq!(service.degraded(), Some(policy));
        server.restart().await;
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        load.end("started later", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn restarted_at_once_and_empty() {
    for policy in POLICIES {
        let mut server = RedisServer::start(RedisOptions::default()).await;
        let service = Service::start(&server.url(), policy, &[]).await;
        let load = service.load();
        load.serves(200).await;
        server.restart().await;
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        server.cli(["flushall"]).await;
        load.serves(200).await;
        load.end("restart and FLUSHALL", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn frozen_for_five_seconds() {
    for policy in POLICIES {
        let mut server = RedisServer::start(RedisOptions::default()).await;
        let service = Service::start(&server.url(), policy, &[]).await;
        let load = service.load();
        load.serves(200).await;
        let before = now();
        server.process().freeze();
        service.is_away().await;
        while before.elapsed().as_secs() < 5 {
            load.serves(100).await;
        }
        server.process().thaw();
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        load.end("kill -STOP for 5 s", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn without_its_scripts_and_with_its_data_read_anew() {
    for policy in POLICIES {
        let server = RedisServer::start(RedisOptions::default().set("enable-debug-command", "yes")).await;
        let service = Service::start(&server.url(), policy, &[]).await;
        let load = service.load();
        load.serves(200).await;
        for _ in 0..3 {
            server.cli(["script", "flush"]).await;
            load.serves(50).await;
        }
        for _ in 0..3 {
            server.cli(["debug", "reload"]).await;
            load.serves(50).await;
        }
        let back = service.is_back(writable(&server).await).await;
        load.end("SCRIPT FLUSH, DEBUG RELOAD", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_replica_until_it_is_promoted() {
    for policy in POLICIES {
        let master = RedisServer::start(RedisOptions::default()).await;
        let server = RedisServer::start(RedisOptions::default()).await;
        let service = Service::start(&server.url(), policy, &[]).await;
        let load = service.load();
        load.serves(200).await;
        server.cli(["replicaof", "127.0.0.1", &master.port().to_string()]).await;
        service.is_away().await;
        load.serves(500).await;
        server.cli(["replicaof", "no", "one"]).await;
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        load.end("a read-only replica, promoted", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}
