//! Every way to a server, really gone: TLS, users, sockets, sentinels, a cluster; and what is said where it is barred.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Ask, Candidate, Disposition, Group, KeyId, LimiterError, LimiterErrorKind, Limits, RateLimiter, Reason,
    Scope, SettleBatch, Settlement, Span, Tally, Verdict,
};
use keyrot_ratelimit_redis::{RedisAddress, RedisLimiter, RedisOptions};
use keyrot_test_servers::{
    self as servers, Certificates, RedisCluster, RedisSentinels, RedisServer, wait_until,
};

/// What no message may hold.
const PASSWORD: &str = "s3cret-of-the-test";

fn options(url: &str) -> RedisOptions {
    let address = RedisAddress::parse("REDIS_URL", &SecretString::from(url)).unwrap();
    RedisOptions::new(address).timeout(Duration::from_secs(5))
}

fn trusting(url: &str, files: &Certificates, with_client: bool) -> RedisOptions {
    let (certificate, key) = (files.client_certificate(), files.client_key());
    let client: (Option<&Path>, Option<&Path>) =
        if with_client { (Some(&certificate), Some(&key)) } else { (None, None) };
    options(url).certificates(Some(&files.ca()), client).unwrap()
}

fn candidate() -> Candidate {
    let group = Arc::new(Group { project: "p".into(), model: "m".into() });
    Candidate { group, limits: Limits::new(Some(9), None, None), key: KeyId::parse("k").unwrap() }
}

/// Everything that a pool asks of it: a call is granted, settled, seen, and told apart from no call.
async fn counts(options: RedisOptions) {
    let limiter = options.limiter().unwrap();
    counts_on(&limiter).await;
}

async fn counts_on(limiter: &RedisLimiter) {
    let of = [candidate()];
    let ask = Ask { tokens: 10, probe_ttl: Duration::from_secs(60) };
    let mut reply = limiter.reserve(&of, &[ask], u64::MAX >> 20).await.unwrap();
    let reservation = reply.grants.remove(0).reservation;
    let disposition = Disposition::Sent { input_tokens: Some(7), proven: true };
    let settlements = vec![Settlement { reservation, disposition }];
    limiter.settle(SettleBatch { epoch: 1, number: 1, settlements, ..SettleBatch::default() }).await.unwrap();
    let used = limiter.snapshot(&of, &[], &[]).await.unwrap().groups[0];
    assert_eq!((used.minute_requests, used.minute_tokens, used.day_requests), (1, 7, 1));
    assert_eq!(limiter.processes(1).await.unwrap(), 1);
    limiter.ping().await.unwrap();
}

/// Why nothing can be asked there: a message that an operator can act on.
async fn refusal(options: RedisOptions) -> LimiterError {
    let limiter = options.limiter().unwrap();
    let ask = Ask { tokens: 10, probe_ttl: Duration::from_secs(60) };
    let error = limiter.reserve(&[candidate()], &[ask], u64::MAX >> 20).await.unwrap_err();
    assert_eq!(error.kind(), LimiterErrorKind::Unavailable, "a failure policy may hold: {error}");
    for text in [format!("{error} {error:?}"), format!("{limiter:?}")] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    error
}

#[track_caller]
fn says(error: &LimiterError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn tls_with_an_authority_of_ones_own() {
    let files = Certificates::make();
    let server = RedisServer::start(servers::RedisOptions::default().tls(&files, false)).await;
    counts(trusting(&server.url(), &files, false)).await;
    let localhost = server.url().replace("127.0.0.1", "localhost");
    counts(trusting(&localhost, &files, false).pool("by name")).await;
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn tls_that_asks_for_a_certificate_gets_it() {
    let files = Certificates::make();
    let server = RedisServer::start(servers::RedisOptions::default().tls(&files, true)).await;
    counts(trusting(&server.url(), &files, true)).await;
    let error = refusal(trusting(&server.url(), &files, false)).await;
    says(&error, &["KEYROT_REDIS_CERT", "KEYROT_REDIS_KEY"]);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn tls_of_an_unknown_authority_is_refused_and_says_so() {
    let (files, others) = (Certificates::make(), Certificates::make());
    let server = RedisServer::start(servers::RedisOptions::default().tls(&files, false)).await;
    for options in [options(&server.url()), trusting(&server.url(), &others, false)] {
        let error = refusal(options).await;
        says(&error, &[&format!("rediss://127.0.0.1:{}", server.port()), "KEYROT_REDIS_CA"]);
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn tls_where_there_is_none_and_none_where_there_is_tls_end_in_time() {
    let files = Certificates::make();
    let plain = RedisServer::start(servers::RedisOptions::default()).await;
    let url = plain.url().replace("redis://", "rediss://");
    let error = refusal(trusting(&url, &files, false).timeout(Duration::from_millis(300))).await;
    says(&error, &["rediss://127.0.0.1"]);
    let tls = RedisServer::start(servers::RedisOptions::default().tls(&files, false)).await;
    refusal(options(&tls.url().replace("rediss://", "redis://"))).await;
}

/// The line of docs/redis-protocol.md for a user of its own.
fn documented_user() -> String {
    let text = include_str!("../../../docs/redis-protocol.md");
    let line = text.lines().find(|line| line.starts_with("user keyrot on >PASSWORD")).unwrap();
    line.replace("PASSWORD", PASSWORD)
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn the_documented_user_has_the_rights_that_are_needed() {
    for base in [servers::RedisOptions::default(), servers::RedisOptions::default().valkey()] {
        let users = format!("user default off\n{}", documented_user());
        let server = RedisServer::start(base.acl(&users)).await;
        let limiter = options(&server.url_of("keyrot", PASSWORD)).limiter().unwrap();
        counts_on(&limiter).await;
        assert_eq!(limiter.eviction().await.as_deref(), Some("noeviction"));
        let group = candidate().group;
        let scope = Scope::ProjectModel(group.project.clone(), group.model.clone());
        limiter.reset(&scope).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_user_who_may_not_run_scripts_is_told_which_command_to_grant() {
    let rights = documented_user().replace("+evalsha", "").replace("+eval", "");
    for (user, missing) in [
        (rights.clone(), ["+evalsha", "+eval"]),
        (documented_user().replace("+hset", ""), ["+hset", "+zadd"]),
        (documented_user().replace("~keyrot:*", "~other:*"), ["~keyrot:*", "redis-protocol.md"]),
    ] {
        let users = format!("user default off\n{user}");
        let server = RedisServer::start(servers::RedisOptions::default().acl(&users)).await;
        let url = server.url_of("keyrot", PASSWORD);
        if missing[0] == "+hset" {
            let limiter = options(&url).limiter().unwrap();
            let tallies = vec![Tally {
                key: KeyId::parse("k").unwrap(),
                used_at: 0,
                successes: 1,
                errors: 0,
                abandoned: 0,
            }];
            let batch = SettleBatch { epoch: 1, number: 1, tallies, ..SettleBatch::default() };
            says(&limiter.settle(batch).await.unwrap_err(), &missing);
        } else {
            says(&refusal(options(&url)).await, &missing);
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_wrong_password_is_told_and_not_shown() {
    let users = format!("user default off\n{}", documented_user());
    let server = RedisServer::start(servers::RedisOptions::default().acl(&users)).await;
    let wrong = format!("not-{PASSWORD}");
    says(&refusal(options(&server.url_of("keyrot", &wrong))).await, &["password", "REDIS_URL"]);
    says(&refusal(options(&server.url())).await, &["password", "REDIS_URL"]);
    let server = RedisServer::start(servers::RedisOptions::default().password(PASSWORD)).await;
    counts(options(&server.url())).await;
    let nobody = format!("redis://127.0.0.1:{}", server.port());
    says(&refusal(options(&nobody)).await, &["password", "REDIS_URL"]);
}

#[tokio::test]
#[ignore = "needs valkey-server: cargo xtask test"]
async fn a_unix_socket_with_a_password_and_a_database() {
    let server =
        RedisServer::start(servers::RedisOptions::default().valkey().unix_socket().password(PASSWORD)).await;
    let path = server.unix_socket().display().to_string();
    counts(options(&format!("unix://{path}?db=3&pass={PASSWORD}"))).await;
    assert!(server.cli(["-n", "3", "keys", "*"]).await.contains("keyrot:1:{default}:quota:p/m"));
    let error = refusal(options(&format!("unix://{path}.gone"))).await;
    says(&error, &["redis.sock.gone"]);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_policy_of_eviction_is_seen() {
    for (policy, base) in [
        ("allkeys-lru", servers::RedisOptions::default()),
        ("volatile-ttl", servers::RedisOptions::default().valkey()),
    ] {
        let server = RedisServer::start(base.set("maxmemory-policy", policy)).await;
        let limiter = options(&server.url()).limiter().unwrap();
        assert_eq!(limiter.eviction().await.as_deref(), Some(policy));
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn sentinels_lead_to_the_master_and_to_the_next_one() {
    let mut sentinels = RedisSentinels::start().await;
    let ports: Vec<String> = sentinels.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = format!("redis+sentinel://:{}@{}/{}", sentinels.password(), ports.join(","), sentinels.name());
    let sentinel_password = SecretString::from(sentinels.sentinel_password());
    let login = |options: RedisOptions| options.sentinel_login(None, Some(&sentinel_password));
    let limiter = login(options(&url)).limiter().unwrap();
    counts_on(&limiter).await;
    let master = sentinels.master().await;
    let old = master.port();
    assert!(master.cli(["keys", "*"]).await.contains("quota:p/m"), "the master was written to");
    assert_eq!(master.cli(["wait", "1", "60000"]).await, "1");
    says(&refusal(options(&url)).await, &["KEYROT_REDIS_SENTINEL_PASSWORD"]);
    let unknown = url.replace(&format!("/{}", sentinels.name()), "/nobody");
    says(&refusal(login(options(&unknown))).await, &["name of the service"]);
    sentinels.master().await.process().kill();
    sentinels.wait_for_another_master(old).await;
    let of = [candidate()];
    wait_until("the way to the new master", Duration::from_secs(20), async || {
        limiter.snapshot(&of, &[], &[]).await.is_ok_and(|told| told.groups[0].day_requests == 1)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_cluster_keeps_a_pool_on_one_node_whichever_is_named() {
    let mut cluster = RedisCluster::start(servers::RedisOptions::default()).await;
    let urls = cluster.urls();
    let ports: Vec<&str> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    for (number, named) in ports.iter().copied().chain([ports.join(",").as_str()]).enumerate() {
        let pool = format!("pool {number}");
        counts(options(&format!("redis+cluster://{named}")).pool(&pool)).await;
        let place = cluster.node_of(&format!("{{{pool}}}")).await;
        for (other, node) in cluster.nodes().iter().enumerate() {
            let there = node.cli(["keys", &format!("keyrot:1:{{{pool}}}:*")]).await.contains("quota:p/m");
            assert_eq!(there, other == place, "node {other} of pool {pool}");
        }
    }
    // one node by itself sends everybody to another one
    let elsewhere = (cluster.node_of("{default}").await + 1) % 3;
    says(&refusal(options(&urls[elsewhere])).await, &["redis+cluster://"]);
}

#[tokio::test]
#[ignore = "needs valkey-server: cargo xtask test"]
async fn two_pools_with_the_same_ids_share_nothing() {
    let server = RedisServer::start(servers::RedisOptions::default().valkey()).await;
    let [one, two] = ["one", "two"].map(|pool| options(&server.url()).pool(pool).limiter().unwrap());
    counts_on(&one).await;
    counts_on(&two).await; // counts one call, not two
    let scope = Scope::Project("p".into());
    let span = Span::Named(Duration::from_secs(300));
    let verdicts =
        vec![Verdict::Block { scope: scope.clone(), reason: Reason::Cooldown, span, since: u64::MAX >> 20 }];
    one.settle(SettleBatch { epoch: 1, number: 2, verdicts, ..SettleBatch::default() }).await.unwrap();
    for (limiter, blocked) in [(&one, true), (&two, false)] {
        let told = limiter.snapshot(&[], std::slice::from_ref(&scope), &[]).await.unwrap();
        assert_eq!(told.scopes[0].blocked(told.now).is_some(), blocked);
    }
}
