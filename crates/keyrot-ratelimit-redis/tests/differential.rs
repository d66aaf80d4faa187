//! The scripts against keyrot-core: the same random operations give the same replies and the same
//! bytes. `PROPTEST_CASES` sets the number of cases.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

#[path = "differential/byte_home.rs"]
mod byte_home;
#[path = "differential/directed.rs"]
mod directed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use byte_home::ByteHome;
use futures_util::future::join_all;
use keyrot_core::books::{self, IssuerRecord};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Ask, Backoff, Candidate, Disposition, Group, KeyId, LearnedLimit, Limits, ManualClock, Millis, PastCalls,
    Quota, QuotaRecord, RateLimiter, Reason, Reservation, Scope, SettleBatch, Settlement, Span, Tally,
    Verdict, pacific_day_end,
};
use keyrot_ratelimit_redis::{RedisAddress, RedisLimiter, RedisOptions};
use keyrot_test_servers::RedisServer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// 2026-11-01T05:00Z: two hours before the longest day begins.
const START: Millis = 1_793_509_200_000;

#[derive(Clone, Debug)]
enum Step {
    Wait(Millis),
    Back(Millis),
    /// Groups to offer, tokens of each ask, the slot's ms, whether the blocks are known, how many ask together.
    Reserve(Vec<usize>, Vec<u64>, u64, bool, usize),
    Settle(Vec<(Index, Settle)>, Vec<Judge>, u16),
    /// The n-th batch arrives again.
    Repeat(Index),
    Reset(usize),
}

#[derive(Clone, Debug)]
enum Settle {
    Release,
    Sent(Option<u64>, bool),
}

#[derive(Clone, Debug)]
enum Judge {
    Block(usize, Span, Millis),
    Clear(usize, Millis),
    Learn(usize, Quota, Option<u64>),
    Tighten(usize, Millis),
    Recall(usize, Vec<(Millis, u16, u32)>, bool, u32),
    Tally(u32, u32),
}

fn judge() -> impl Strategy<Value = Judge> {
    let quota = prop_oneof![
        Just(Quota::RequestsPerMinute),
        Just(Quota::TokensPerMinute),
        Just(Quota::RequestsPerDay)
    ];
    let span = prop_oneof![
        3 => Just(Span::Backoff),
        2 => (0..200_000_000_u64).prop_map(|micros| Span::Named(Duration::from_micros(micros * 7))),
        1 => Just(Span::DayEnd),
    ];
    let scope = 0..SCOPES;
    prop_oneof![
        4 => (scope.clone(), span, 0..90_000_u64).prop_map(|(a, b, c)| Judge::Block(a, b, c)),
        2 => (scope, 0..40_000_u64).prop_map(|(a, b)| Judge::Clear(a, b)),
        1 => (0..3_usize, quota, prop::option::of(0..3_000_u64)).prop_map(|(a, b, c)| Judge::Learn(a, b, c)),
        2 => (0..3_usize, 0..3_000_u64).prop_map(|(a, b)| Judge::Tighten(a, b)),
        1 => (0..3_usize, vec((0..80_000_u64, 0..9_u16, 0..500_u32), 0..5), any::<bool>(), 0..9_u32)
            .prop_map(|(a, b, c, d)| Judge::Recall(a, b, c, d)),
        1 => (0..3_u32, 0..3_u32).prop_map(|(a, b)| Judge::Tally(a, b)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let tokens = prop_oneof![10 => 0..900_u64, 1 => Just(u64::MAX), 1 => 0..5_000_u64];
    let settle = prop_oneof![
        Just(Settle::Release),
        (prop::option::of(0..1_500_u64), any::<bool>()).prop_map(|(used, proven)| Settle::Sent(used, proven)),
    ];
    prop_oneof![
        6 => prop_oneof![0..1_500_u64, 0..70_000_u64, Just(1_801_000), Just(3_600_000)].prop_map(Step::Wait),
        1 => prop_oneof![0..61_001_u64, 0..40_000_000_u64].prop_map(Step::Back),
        // runs of the same ask, and callers who ask the same together: the script answers them at once
        10 => (vec(0..3_usize, 0..4), vec((tokens, 1..5_usize), 0..3), 0..70_000_u64, prop::bool::weighted(0.9), 1..5_usize)
            .prop_map(|(a, b, c, d, e)| {
                let asks = b.into_iter().flat_map(|(tokens, times)| vec![tokens; times]).collect();
                Step::Reserve(a, asks, c, d, e)
            }),
        8 => (vec((any::<Index>(), settle), 0..4), vec(judge(), 0..3), 0..1_200_u16)
            .prop_map(|(a, b, c)| Step::Settle(a, b, c)),
        1 => any::<Index>().prop_map(Step::Repeat),
        1 => (0..SCOPES).prop_map(Step::Reset),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (prop::option::of(0..70_u32), prop::option::of(0..3_000_u64), prop::option::of(1..90_u32))
        .prop_map(|(rpm, tpm, rpd)| Limits::new(rpm, tpm, rpd))
}

const SCOPES: usize = 6;

fn scope(number: usize) -> Scope {
    match number {
        0 => Scope::Key(KeyId::parse("a").unwrap()),
        1 => Scope::Project("p1".into()),
        2 => Scope::Host,
        group => Scope::ProjectModel(format!("p{}", group - 3).as_str().into(), "m".into()),
    }
}

/// Both sides, and what is under way.
struct Bench {
    clock: ManualClock,
    now: Millis,
    seen: u64,
    limits: Vec<Limits>,
    groups: Vec<Arc<Group>>,
    model: ByteHome,
    limiter: RedisLimiter,
    raw: redis::aio::MultiplexedConnection,
    pool: String,
    under_way: Vec<Reservation>,
    batches: Vec<SettleBatch>,
}

impl Bench {
    fn candidate(&self, group: usize) -> Candidate {
        let key = KeyId::parse("a").unwrap();
        Candidate { group: Arc::clone(&self.groups[group]), limits: self.limits[group], key }
    }

    fn verdict(&self, judge: &Judge) -> Option<Verdict> {
        let group = |number: &usize| Arc::clone(&self.groups[*number]);
        Some(match judge {
            Judge::Block(number, span, ago) => {
                let reason = [Reason::Cooldown, Reason::KeyRejected, Reason::NoQuota][*number % 3];
                Verdict::Block { scope: scope(*number), reason, span: *span, since: self.now - ago }
            }
            Judge::Clear(number, ago) => Verdict::Clear { scope: scope(*number), since: self.now - ago },
            Judge::Learn(number, quota, value) => {
                let limit = LearnedLimit { quota: *quota, value: *value };
                Verdict::Learn { group: group(number), limit }
            }
            Judge::Tighten(number, ago) => {
                let limits = self.limits[*number];
                Verdict::Tighten { group: group(number), limits, since: self.now - ago }
            }
            Judge::Recall(number, calls, today, day_requests) => {
                let past = |(ago, requests, tokens): &(Millis, u16, u32)| PastCalls {
                    at: self.now - ago,
                    requests: *requests,
                    tokens: *tokens,
                };
                Verdict::Recall {
                    group: group(number),
                    calls: calls.iter().map(past).collect(),
                    day_end: pacific_day_end(self.now) - if *today { 0 } else { 86_400_000 },
                    day_requests: *day_requests,
                }
            }
            Judge::Tally(..) => return None,
        })
    }

    fn batch(&mut self, settles: &[(Index, Settle)], judges: &[Judge], jitter: u16) -> SettleBatch {
        let mut batch = SettleBatch {
            epoch: 7,
            number: self.batches.len() as u64 * 3,
            seen: self.seen,
            jitter,
            backoff: Backoff { base: Duration::from_nanos(20_000_000_123), max: Duration::from_secs(700) },
            ..SettleBatch::default()
        };
        for (index, settle) in settles {
            if self.under_way.is_empty() {
                break;
            }
            let reservation = self.under_way.remove(index.index(self.under_way.len()));
            let disposition = match settle {
                Settle::Release => Disposition::Release,
                Settle::Sent(input_tokens, proven) => {
                    Disposition::Sent { input_tokens: *input_tokens, proven: *proven }
                }
            };
            batch.settlements.push(Settlement { reservation, disposition });
        }
        batch.verdicts = judges.iter().filter_map(|judge| self.verdict(judge)).collect();
        for judge in judges {
            if let Judge::Tally(successes, errors) = *judge {
                let key = KeyId::parse("a").unwrap();
                batch.tallies.push(Tally { key, used_at: self.now, successes, errors, abandoned: 1 });
            }
        }
        batch
    }

    async fn settle(&mut self, batch: SettleBatch) {
        let before = self.model.quotas.clone();
        let ours = books::settle(&mut self.model, self.now, &batch).unwrap();
        self.model.write_once(&before).unwrap();
        let theirs = self.limiter.settle(batch).await.unwrap();
        assert_eq!(theirs, ours);
    }

    async fn reserve(&mut self, offered: &[usize], asks: &[u64], ttl: u64, knows: bool, together: usize) {
        let candidates: Vec<_> = offered.iter().map(|group| self.candidate(*group)).collect();
        let ask = |tokens: &u64| Ask { tokens: *tokens, probe_ttl: Duration::from_millis(ttl) };
        let asks: Vec<_> = asks.iter().map(ask).collect();
        let seen = if knows { self.seen } else { 0 };
        let callers = (0..together).map(|_| self.limiter.reserve(&candidates, &asks, seen));
        for theirs in join_all(callers).await {
            let ours = books::reserve(&mut self.model, self.now, &candidates, &asks, seen).unwrap();
            assert_eq!(format!("{:#?}", theirs.unwrap()), format!("{ours:#?}"));
            self.seen = ours.generation;
            self.under_way.extend(ours.grants.into_iter().map(|grant| grant.reservation));
        }
    }

    /// Calls of scripts so far, and how often `GET` and `SETRANGE` were called, in scripts and by themselves.
    async fn calls(&mut self) -> [u64; 3] {
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut self.raw).await.unwrap();
        ["cmdstat_evalsha:calls=", "cmdstat_get:calls=", "cmdstat_setrange:calls="].map(|name| {
            let calls = stats.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0,");
            calls.split(',').next().unwrap().parse().unwrap()
        })
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(by) => self.now += by,
            Step::Back(by) => self.now -= by,
            _ => {}
        }
        self.clock.set_wall(UNIX_EPOCH + Duration::from_millis(self.now));
        match step {
            Step::Wait(_) | Step::Back(_) => return,
            Step::Reserve(offered, asks, ttl, knows, together) => {
                self.reserve(offered, asks, *ttl, *knows, *together).await;
            }
            Step::Settle(settles, judges, jitter) => {
                let batch = self.batch(settles, judges, *jitter);
                self.batches.push(batch.clone());
                self.settle(batch).await;
            }
            Step::Repeat(index) => {
                if !self.batches.is_empty() {
                    let batch = index.get(&self.batches).clone();
                    self.settle(batch).await;
                }
            }
            Step::Reset(number) => {
                books::reset(&mut self.model, self.now, &scope(*number)).unwrap();
                self.limiter.reset(&scope(*number)).await.unwrap();
            }
        }
        self.compare_bytes().await;
    }

    /// Written so shortly before it says nothing any more that it may be gone already.
    fn vanishes(&self, bytes: &[u8]) -> bool {
        QuotaRecord::from_bytes(bytes).unwrap().kept_until() <= self.now + 20_000
    }

    async fn compare_bytes(&mut self) {
        let key = |name: &str| format!("keyrot:1:{{{}}}:{name}", self.pool);
        for group in self.groups.clone() {
            let stored: Option<Vec<u8>> = redis::cmd("GET")
                .arg(key(&format!("quota:{}", group.name())))
                .query_async(&mut self.raw)
                .await
                .unwrap();
            let ours = self.model.quotas.get(&group.name());
            if ours.is_some_and(|bytes| self.vanishes(bytes)) {
                // the server lets it go in real time, which is none here: out of both, so that no run is a race
                self.model.quotas.remove(&group.name());
                let _: u64 = redis::cmd("DEL")
                    .arg(key(&format!("quota:{}", group.name())))
                    .query_async(&mut self.raw)
                    .await
                    .unwrap();
                continue;
            }
            assert_eq!(stored.as_ref(), ours, "{}", group.name());
        }
        let blocks: BTreeMap<String, Vec<u8>> =
            redis::cmd("HGETALL").arg(key("blocks")).query_async(&mut self.raw).await.unwrap();
        assert_eq!(blocks, self.model.scope_bytes());
        let counters: BTreeMap<String, Vec<u8>> =
            redis::cmd("HGETALL").arg(key("counters")).query_async(&mut self.raw).await.unwrap();
        assert_eq!(counters, self.model.counters);
        let issuer: Option<Vec<u8>> =
            redis::cmd("GET").arg(key("issuer:0000000000000007")).query_async(&mut self.raw).await.unwrap();
        let ours = self.model.issuers.get(&7).map(IssuerRecord::to_bytes);
        assert_eq!(issuer, ours);
    }
}

async fn raw_connection(url: &str) -> redis::aio::MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

fn bench(url: &str, raw: &redis::aio::MultiplexedConnection, pool: &str, limits: Vec<Limits>) -> Bench {
    let clock = ManualClock::default();
    let address = RedisAddress::parse("REDIS_URL", &SecretString::from(url)).unwrap();
    let options = RedisOptions::new(address).pool(pool).timeout(Duration::from_secs(20));
    let limiter = options.count_by(Arc::new(clock.clone())).limiter().unwrap();
    let group = |number| Arc::new(Group { project: format!("p{number}").as_str().into(), model: "m".into() });
    Bench {
        clock,
        now: START + 100_000_000,
        seen: 0,
        limits,
        groups: (0..3).map(group).collect(),
        model: ByteHome::default(),
        limiter,
        raw: raw.clone(),
        pool: pool.to_owned(),
        under_way: Vec::new(),
        batches: Vec::new(),
    }
}

#[test]
#[ignore = "needs redis-server: cargo xtask test"]
fn scripts_and_core_give_the_same_replies_and_the_same_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(RedisServer::start(keyrot_test_servers::RedisOptions::default()));
    let url = server.url();
    let raw = runtime.block_on(raw_connection(&url));
    let pools = std::cell::Cell::new(0);
    let case = (vec(step(), 1..120), vec(limits(), 3));
    TestRunner::default()
        .run(&case, |(steps, limits)| {
            pools.set(pools.get() + 1);
            runtime.block_on(async {
                let mut bench = bench(&url, &raw, &format!("case{}", pools.get()), limits);
                for step in &steps {
                    bench.step(step).await;
                }
            });
            Ok(())
        })
        .unwrap();
}
