//! Servers that are there and let nobody in, until somebody mends it.

use keyrot_test_servers::{Certificates, RedisOptions, RedisServer};

use crate::load::{POLICIES, Service, writable};

const USER: &str = "user default off\nuser keyrot on >s3cret ~keyrot:* +@all -@dangerous +info\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_user_who_may_not_run_scripts_any_more() {
    for policy in POLICIES {
        let server = RedisServer::start(RedisOptions::default().acl(USER)).await;
        let service = Service::start(&server.url_of("keyrot", "s3cret"), policy, &[]).await;
        let load = service.load();
        load.serves(200).await;
        server.cli(["acl", "setuser", "keyrot", "-eval", "-evalsha"]).await;
        service.is_away().await;
        load.serves(500).await;
        server.cli(["acl", "setuser", "keyrot", "+eval", "+evalsha"]).await;
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        load.end("an ACL that forbids EVAL", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_wrong_password_until_it_is_right() {
    for policy in POLICIES {
        let server = RedisServer::start(RedisOptions::default().acl(USER)).await;
        let service = Service::start(&server.url_of("keyrot", "other"), policy, &[]).await;
        let notices = service.notices();
        assert!(notices.contains("check user and password") && !notices.contains("other"), "{notices}");
        let load = service.load();
        load.serves(500).await;
        assert_eq!(service.degraded(), Some(policy));
        server.cli(["acl", "setuser", "keyrot", ">other"]).await;
        let back = service.is_back(writable(&server).await).await;
        load.serves(200).await;
        load.end("a wrong password", &service, Some(back)).await;
        println!("  {} calls more counted than sent", service.counted_beyond().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_certificate_of_an_unknown_authority() {
    for policy in POLICIES {
        let files = Certificates::make();
        let server = RedisServer::start(RedisOptions::default().tls(&files, false)).await;
        let service = Service::start(&server.url(), policy, &[]).await;
        assert!(service.notices().contains("KEYROT_REDIS_CA"), "{}", service.notices());
        let load = service.load();
        load.serves(500).await;
        assert_eq!(service.degraded(), Some(policy));
        load.end("an unknown authority", &service, None).await;
        let ca = files.ca().display().to_string();
        let service = Service::start(&server.url(), policy, &[("KEYROT_REDIS_CA", &ca)]).await;
        let load = service.load();
        load.serves(200).await;
        assert_eq!(service.degraded(), None, "{}", service.notices());
        load.end("a known one", &service, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn who_may_forget_counts_is_warned_of() {
    for (policy, warned) in [("noeviction", false), ("allkeys-lru", true)] {
        let options = RedisOptions::default().set("maxmemory-policy", policy);
        let server = RedisServer::start(options).await;
        let notices = Service::start(&server.url(), "open", &[]).await.notices();
        assert_eq!(notices.contains("it forgets counts"), warned, "{policy}: {notices}");
    }
}
