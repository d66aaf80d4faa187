//! Calls per second, beside `PING`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    Ask, Candidate, Disposition, Group, KeyId, Limits, RateLimiter, Reservation, SettleBatch, Settlement,
};
use keyrot_ratelimit_redis::{RedisAddress, RedisLimiter, RedisOptions};
use keyrot_test_servers::{self as servers, RedisServer};
use tokio::task::JoinSet;

/// Groups of the larger pool.
const GROUPS: usize = 16;
const ROUNDS: usize = 5;
const IDLE_CALLS: usize = 4_000;
const ASK: Ask = Ask { tokens: 100, probe_ttl: Duration::from_secs(60) };
const NEWEST: u64 = u64::MAX >> 20;

pub(crate) fn options(server: &RedisServer) -> RedisOptions {
    let address = RedisAddress::parse("REDIS_URL", &SecretString::from(server.url())).unwrap();
    RedisOptions::new(address).timeout(Duration::from_secs(20))
}

pub(crate) fn candidate(number: usize, limits: Limits) -> Candidate {
    let group =
        Group { project: format!("project-{number:04}").as_str().into(), model: "gemini-2.5-flash".into() };
    Candidate { group: Arc::new(group), limits, key: KeyId::parse("flash_01").unwrap() }
}

/// So that more than two calls may be in flight.
pub(crate) async fn prove(limiter: &dyn RateLimiter, of: &Candidate, number: u64) {
    let mut reply = limiter.reserve(std::slice::from_ref(of), &[ASK], NEWEST).await.unwrap();
    settle(limiter, number, reply.grants.remove(0).reservation).await;
}

async fn settle(limiter: &dyn RateLimiter, number: u64, reservation: Reservation) {
    let disposition = Disposition::Sent { input_tokens: Some(90), proven: true };
    let settlements = vec![Settlement { reservation, disposition }];
    let batch = SettleBatch { epoch: number >> 32, number, settlements, ..SettleBatch::default() };
    limiter.settle(batch).await.unwrap();
}

/// What a pool of so many projects offers: all of them, beginning with another one each time.
fn offers(projects: usize) -> Arc<[Vec<Candidate>]> {
    let limits = Limits::new(Some(u32::MAX), Some(1 << 47), Some(u32::MAX));
    let groups: Vec<Candidate> = (0..projects).map(|number| candidate(number, limits)).collect();
    let rotated = |first| groups.iter().cycle().skip(first).take(projects).cloned().collect();
    (0..projects).map(rotated).collect()
}

/// What is measured: one call of one task.
#[derive(Clone)]
enum Work {
    Ping(redis::aio::MultiplexedConnection),
    PingThroughPool(deadpool_redis::Pool),
    Acquire(RedisLimiter, Arc<[Vec<Candidate>]>),
    AcquireAndReport(RedisLimiter, Arc<[Vec<Candidate>]>),
}

impl Work {
    async fn once(&mut self, task: usize, turn: usize) {
        let ping = redis::cmd("PING");
        match self {
            Self::Ping(connection) => ping.query_async::<()>(connection).await.unwrap(),
            Self::PingThroughPool(pool) => {
                let mut connection = pool.get().await.unwrap();
                ping.query_async::<()>(&mut connection).await.unwrap();
            }
            Self::Acquire(limiter, offers) => {
                let offer = &offers[(task + turn) % offers.len()];
                let reply = limiter.reserve(offer, &[ASK], NEWEST).await.unwrap();
                assert_eq!(reply.grants.len(), 1);
            }
            Self::AcquireAndReport(limiter, offers) => {
                let offer = &offers[(task + turn) % offers.len()];
                let mut reply = limiter.reserve(offer, &[ASK], NEWEST).await.unwrap();
                let number = (task as u64 + 1) << 32 | turn as u64;
                settle(limiter, number, reply.grants.remove(0).reservation).await;
            }
        }
    }

    /// Calls per second of so many tasks, and microseconds of the server's CPU for each.
    async fn run(&self, server: &mut RedisServer, tasks: usize, calls: usize) -> Rate {
        let (cpu, before) = (cpu_time(server), now());
        let mut all = JoinSet::new();
        for task in 0..tasks {
            let mut work = self.clone();
            all.spawn(async move {
                for turn in 0..calls / tasks {
                    work.once(task, turn).await;
                }
            });
        }
        all.join_all().await;
        let calls = (calls / tasks * tasks) as f64;
        let per_second = calls / before.elapsed().as_secs_f64();
        Rate { per_second, cpu_us: (cpu_time(server) - cpu).as_secs_f64() * 1e6 / calls }
    }

    /// The median time of a call when nobody else asks.
    async fn idle(&self) -> Duration {
        let mut work = self.clone();
        let measured = tokio::spawn(async move {
            let mut times = Vec::with_capacity(IDLE_CALLS);
            for turn in 0..IDLE_CALLS {
                let before = now();
                work.once(0, turn).await;
                times.push(before.elapsed());
            }
            times.sort_unstable();
            times[IDLE_CALLS / 2]
        });
        measured.await.unwrap()
    }
}

#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    cpu_us: f64,
}

/// What the server's main thread has computed so far.
fn cpu_time(server: &mut RedisServer) -> Duration {
    let path = format!("/proc/{}/schedstat", server.process().id());
    let told = std::fs::read_to_string(path).unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// What runs beside what.
struct Field {
    ping: Work,
    pooled: Work,
    /// Of one project, and of sixteen.
    acquire: [Work; 2],
    report: [Work; 2],
    single: Work,
}

impl Field {
    async fn new(server: &RedisServer) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        let ping = Work::Ping(client.get_multiplexed_async_connection().await.unwrap());
        let pool = deadpool_redis::Config::from_url(server.url());
        let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).unwrap();
        let offers = [1, GROUPS].map(offers);
        let limiter = options(server).limiter().unwrap();
        for (number, of) in offers[1][0].iter().enumerate() {
            prove(&limiter, of, number as u64).await;
        }
        let one_by_one = options(server).one_by_one().limiter().unwrap();
        Self {
            ping,
            pooled: Work::PingThroughPool(pool),
            acquire: offers.each_ref().map(|offers| Work::Acquire(limiter.clone(), Arc::clone(offers))),
            report: offers
                .each_ref()
                .map(|offers| Work::AcquireAndReport(limiter.clone(), Arc::clone(offers))),
            single: Work::Acquire(one_by_one, Arc::clone(&offers[0])),
        }
    }

    async fn round(&self, server: &mut RedisServer, tasks: usize) -> [Rate; 7] {
        [
            self.ping.run(server, tasks, 100_000).await,
            self.acquire[0].run(server, tasks, 200_000).await,
            self.acquire[1].run(server, tasks, 100_000).await,
            self.single.run(server, tasks, 40_000).await,
            self.report[0].run(server, tasks, 100_000).await,
            self.report[1].run(server, tasks, 50_000).await,
            self.pooled.run(server, tasks, 20_000).await,
        ]
    }
}

/// Each row: what it is, what is asked of it, and whether it is a ratio to `PING`.
const ROWS: [&str; 7] = [
    "`PING`",
    "acquires of one project",
    "acquires of 16 projects in turn",
    "acquires of one project, one by one",
    "acquire and report, one project",
    "acquire and report, 16 projects in turn",
    "`get()` of deadpool and a `PING`",
];

pub(crate) async fn print() {
    let mut server = RedisServer::start(servers::RedisOptions::default()).await;
    let field = Field::new(&server).await;
    for (tasks, asked) in [
        (64, ["", "at least 0.8 of `PING`", "", "at least 0.15 of `PING`", "", "", ""]),
        (256, ["", "at least 1 of `PING`, 2 µs at most", "", "at least 0.15 of `PING`", "", "", ""]),
    ] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(field.round(&mut server, tasks).await);
        }
        for (row, (what, asked)) in ROWS.iter().zip(asked).enumerate() {
            let of = |figure: fn(&[Rate; 7], usize) -> f64| {
                median(rounds.iter().map(|round| figure(round, row)).collect())
            };
            let rate = of(|round, row| round[row].per_second);
            let ratio = of(|round, row| round[row].per_second / round[0].per_second);
            let cpu = of(|round, row| round[row].cpu_us);
            println!(
                "| {what}, {tasks} tasks | {asked} | {ratio:.2}: {rate:.0}/s, {cpu:.2} µs of the server's CPU |"
            );
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let [ping, acquire] = [&field.ping, &field.acquire[0]];
        rounds.push([ping.idle().await.as_secs_f64() * 1e6, acquire.idle().await.as_secs_f64() * 1e6]);
    }
    let [pinged, acquired] = [0, 1].map(|which| median(rounds.iter().map(|round| round[which]).collect()));
    let ratio = median(rounds.iter().map(|round| round[1] / round[0]).collect());
    println!(
        "| p50 of an acquire when nobody else asks | at most 2.5 of `PING` | {ratio:.2}: {acquired:.0} µs beside \
         {pinged:.0} µs |"
    );
}
