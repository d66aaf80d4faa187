//! Redis that goes away and comes back, and processes that race for the last call.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Ask, Candidate, Disposition, FailurePolicy, Group, GuardedLimiter, KeyId, LimiterError, LimiterErrorKind,
    Limits, RateLimiter, Reserved, SettleBatch, Settlement, SystemClock,
};
use keyrot_ratelimit_redis::{RedisAddress, RedisLimiter, RedisOptions};
use keyrot_test_servers::{RedisServer, wait_until};
use tokio::task::JoinSet;

fn options(server: &RedisServer) -> RedisOptions {
    let address = RedisAddress::parse("REDIS_URL", &SecretString::from(server.url())).unwrap();
    RedisOptions::new(address).timeout(Duration::from_secs(2))
}

fn candidate(project: &str, limits: Limits) -> Candidate {
    let group = Arc::new(Group { project: project.into(), model: "m".into() });
    Candidate { group, limits, key: KeyId::parse("k").unwrap() }
}

async fn ask(limiter: &dyn RateLimiter, of: &[Candidate]) -> Result<Reserved, LimiterError> {
    limiter.reserve(of, &[Ask { tokens: 10, probe_ttl: Duration::from_secs(60) }], u64::MAX >> 20).await
}

async fn prove(limiter: &dyn RateLimiter, of: &Candidate, number: u64) {
    let grant = ask(limiter, std::slice::from_ref(of)).await.unwrap().grants.remove(0);
    let disposition = Disposition::Sent { input_tokens: None, proven: true };
    let settlements = vec![Settlement { reservation: grant.reservation, disposition }];
    limiter.settle(SettleBatch { epoch: 1, number, settlements, ..SettleBatch::default() }).await.unwrap();
}

fn guarded(limiter: RedisLimiter, policy: FailurePolicy) -> GuardedLimiter {
    GuardedLimiter::new(Arc::new(limiter), policy, Arc::new(SystemClock), 1, 1)
}

/// Eight limiters, each with a connection of its own, 64 callers: the sum is the limit, exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs redis-server: cargo xtask test"]
async fn racing_callers_get_the_limit_and_not_one_more() {
    let server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let limits = Limits::new(Some(300), None, Some(400));
    let groups: Arc<[Candidate]> = (0..8).map(|number| candidate(&format!("p{number}"), limits)).collect();
    let first = options(&server).limiter().unwrap();
    for (number, of) in groups.iter().enumerate() {
        prove(&first, of, number as u64).await;
    }
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let limiter = options(&server).limiter().unwrap();
        for _ in 0..8 {
            let (limiter, groups) = (limiter.clone(), Arc::clone(&groups));
            tasks.spawn(async move {
                let mut granted = vec![0; groups.len()];
                for _ in 0..60 {
                    for grant in ask(&limiter, &groups).await.unwrap().grants {
                        granted[grant.candidate] += 1;
                    }
                }
                granted
            });
        }
    }
    let mut sums = vec![1; groups.len()];
    while let Some(granted) = tasks.join_next().await {
        for (sum, one) in sums.iter_mut().zip(granted.unwrap()) {
            *sum += one;
        }
    }
    assert_eq!(sums, vec![300; groups.len()], "3840 calls for 2400 places");
    let commands = server.cli(["info", "commandstats"]).await;
    let calls = |name: &str| -> u64 {
        let line = commands.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|line| line.split(',').next()).map_or(0, |count| count.parse().unwrap())
    };
    assert!(calls("evalsha") < 3_840 / 2, "callers went together: {} round trips", calls("evalsha"));
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn sixteen_candidates_are_one_round_trip_and_every_key_lives_for_a_time() {
    let server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let limiter = options(&server).limiter().unwrap();
    let groups: Vec<_> =
        (0..16).map(|number| candidate(&format!("p{number}"), Limits::new(Some(1), None, None))).collect();
    for of in &groups {
        prove(&limiter, of, 900).await;
    }
    server.cli(["config", "resetstat"]).await;
    let reply = ask(&limiter, &groups).await.unwrap();
    assert_eq!((reply.grants.len(), reply.refused.len()), (0, 16));
    let stats = server.cli(["info", "commandstats"]).await;
    assert!(stats.contains("cmdstat_evalsha:calls=1,"), "{stats}");
    for key in server.cli(["keys", "*"]).await.lines() {
        let ttl: i64 = server.cli(["pttl", key]).await.parse().unwrap();
        assert!((1..=8 * 24 * 3_600_000).contains(&ttl), "{key} lives {ttl} ms");
        assert!(key.starts_with("keyrot:1:{default}:"), "{key}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_server_that_lost_its_scripts_or_reloaded_its_data_is_asked_on() {
    let options_of = keyrot_test_servers::RedisOptions::default().set("enable-debug-command", "yes");
    let server = RedisServer::start(options_of).await;
    let limiter = options(&server).tell_when_memory_is_lost().limiter().unwrap();
    let of = [candidate("p", Limits::new(Some(3), None, None))];
    for what in
        [&["script", "flush"][..], &["debug", "reload"][..], &["client", "kill", "type", "normal"][..]]
    {
        ask(&limiter, &of).await.unwrap();
        server.cli(what.iter().copied()).await;
    }
    let counted = async || limiter.snapshot(&of, &[], &[]).await.map(|it| it.groups[0].minute_requests);
    wait_until("a new connection", Duration::from_secs(20), async || counted().await.is_ok()).await;
    assert_eq!(counted().await.unwrap(), 2, "unproven: two in flight");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_server_that_is_killed_and_comes_back_empty_is_told_what_was_sent() {
    let mut server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let limiter =
        guarded(options(&server).tell_when_memory_is_lost().limiter().unwrap(), FailurePolicy::Open);
    let of = candidate("p", Limits::new(Some(5), None, None));
    prove(&limiter, &of, 1).await;
    for _ in 0..4 {
        assert_eq!(ask(&limiter, std::slice::from_ref(&of)).await.unwrap().grants.len(), 1);
    }
    server.process().kill();
    for _ in 0..7 {
        assert_eq!(ask(&limiter, std::slice::from_ref(&of)).await.unwrap().grants.len(), 1, "open");
    }
    assert_eq!(limiter.mode().degraded, Some("open"));
    server.restart().await;
    wait_until("its return", Duration::from_secs(20), async || {
        limiter.tend().await;
        limiter.mode().degraded.is_none()
    })
    .await;
    let other = options(&server).limiter().unwrap();
    let usage = other.snapshot(std::slice::from_ref(&of), &[], &[]).await.unwrap().groups[0];
    assert_eq!((usage.minute_requests, usage.day_requests), (12, 12), "everything was told");
    assert!(ask(&limiter, std::slice::from_ref(&of)).await.unwrap().grants.is_empty());
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_frozen_server_delays_a_call_by_one_deadline_and_a_report_by_less() {
    let mut server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let limiter = options(&server).timeout(Duration::from_millis(200)).limiter().unwrap();
    let limiter = guarded(limiter, FailurePolicy::Open);
    let of = [candidate("p", Limits::new(Some(50), None, None))];
    prove(&limiter, &of[0], 1).await;
    let taken = ask(&limiter, &of).await.unwrap().grants.remove(0).reservation;
    server.process().freeze();
    #[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
    let now = Instant::now;
    let before = now();
    let settlements = vec![Settlement { reservation: taken, disposition: Disposition::Release }];
    limiter.settle(SettleBatch { epoch: 1, number: 9, settlements, ..SettleBatch::default() }).await.unwrap();
    let report = before.elapsed();
    let before = now();
    assert_eq!(ask(&limiter, &of).await.unwrap().grants.len(), 1);
    let call = before.elapsed();
    println!("report {report:?}, call {call:?}");
    assert!(report < Duration::from_millis(150), "a report took {report:?}");
    assert!(call < Duration::from_millis(1_000), "a call took {call:?}");
    server.process().thaw();
    wait_until("its return", Duration::from_secs(20), async || {
        limiter.tend().await;
        limiter.mode().degraded.is_none()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn pools_and_prefixes_share_nothing_and_a_newer_record_is_left_alone() {
    let server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let of = [candidate("p", Limits::new(Some(1), None, None))];
    let mut counts = BTreeMap::new();
    for (pool, prefix) in [("a", "keyrot:1:"), ("b", "keyrot:1:"), ("a", "team:")] {
        let limiter = options(&server).pool(pool).prefix(prefix).limiter().unwrap();
        counts.insert((pool, prefix), ask(&limiter, &of).await.unwrap().grants.len());
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    let key = "keyrot:1:{a}:quota:p/m";
    server.cli(["set", key, "\u{2}newer"]).await;
    let error = ask(&options(&server).pool("a").limiter().unwrap(), &of).await.unwrap_err();
    assert_eq!(error.kind(), LimiterErrorKind::Incompatible);
    assert!(
        error.to_string().contains("quota record 2") && error.to_string().contains("KEYROT_POOL"),
        "{error}"
    );
    assert_eq!(server.cli(["get", key]).await, "\u{2}newer");
}
