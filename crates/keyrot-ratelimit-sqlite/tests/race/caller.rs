//! One of the processes: takes, sends, settles, repeats itself, gives back and forgets, and says so.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use keyrot_core::{
    Ask, Candidate, Clock, Disposition, Group, KeyId, Limits, RateLimiter, Reason, SettleBatch, Settlement,
    Sleep, Span, SystemClock, Tally, Verdict,
};
use keyrot_ratelimit_sqlite::{SqliteLimiter, SqliteOptions};

/// So much faster goes the time of the limiter: a minute lasts a fifth of a second.
const SPEED: u32 = 300;
const TASKS: u64 = 4;
pub(crate) const PROJECTS: usize = 8;
const KEYS: usize = 20;
pub(crate) const RPM: u32 = 40;
pub(crate) const TPM: u64 = 30_000;

/// Every other project has so few that its day ends early.
pub(crate) fn rpd(project: usize) -> u32 {
    if project.is_multiple_of(2) { 100_000 } else { 150 }
}

/// Time that goes faster, the same for all processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastClock {
    pub(crate) began: SystemTime,
}

/// Two minutes before midnight in Los Angeles.
const BEGIN: Duration = Duration::from_secs(1_767_686_280);

impl Clock for FastClock {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn wall(&self) -> SystemTime {
        let passed = SystemClock.wall().duration_since(self.began).unwrap_or_default();
        SystemTime::UNIX_EPOCH + BEGIN + passed * SPEED
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        SystemClock.sleep_until(deadline)
    }
}

pub(crate) fn limiter(path: &Path, began: SystemTime) -> SqliteLimiter {
    let options = SqliteOptions::new(path).timeout(Duration::from_secs(30));
    options.clock(Arc::new(FastClock { began })).limiter().unwrap()
}

pub(crate) fn candidate(key: usize) -> Candidate {
    let project = key % PROJECTS;
    let group = Group { project: format!("p{project}").as_str().into(), model: "m".into() };
    let limits = Limits::new(Some(RPM), Some(TPM), Some(rpd(project)));
    Candidate { group: Arc::new(group), limits, key: KeyId::parse(&format!("k{key}")).unwrap() }
}

/// A line for whoever keeps the ledger. It is complete or it is not there.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // a driver that is gone ends this process
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

pub(crate) fn call_until_killed(role: &str) {
    let mut role = role.split('|');
    let mut next = || role.next().unwrap();
    let path = next().to_owned();
    let mut number = || next().parse::<u64>().unwrap();
    let (process, began) = (number(), SystemTime::UNIX_EPOCH + Duration::from_micros(number()));
    let limiter = limiter(Path::new(&path), began);
    let ids = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let rng = fastrand::Rng::with_seed(process * 100 + task);
                let caller = Caller {
                    limiter: limiter.clone(),
                    ids: Arc::clone(&ids),
                    rng,
                    epoch: process * 100 + task + 1,
                    number: 0,
                    seen: 0,
                };
                tokio::spawn(caller.call())
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

struct Caller {
    limiter: SqliteLimiter,
    ids: Arc<AtomicU64>,
    rng: fastrand::Rng,
    epoch: u64,
    number: u64,
    seen: u64,
}

impl Caller {
    async fn call(mut self) {
        loop {
            let count = self.rng.usize(1..=3);
            let candidates: Vec<Candidate> = (0..count).map(|_| candidate(self.rng.usize(..KEYS))).collect();
            let tokens = self.rng.u64(100..2_000);
            let ask = Ask { tokens, probe_ttl: Duration::from_secs(20) };
            let reserved = self.limiter.reserve(&candidates, &[ask], self.seen).await.unwrap();
            self.seen = reserved.generation;
            let Some(grant) = reserved.grants.into_iter().next() else {
                say("refused");
                continue;
            };
            let taken = grant.reservation;
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            say(&format!("took {id} {} {} {tokens} {}", taken.group.name(), taken.taken_at, taken.day_end));
            let disposition = match self.rng.u32(..10) {
                0 => continue, // whoever sent it is never heard of again
                1 => {
                    // said first: once it is given back somebody else may have it
                    say(&format!("gave-back {id}"));
                    Disposition::Release
                }
                _ => {
                    let used = self.rng.u64(50..=tokens);
                    say(&format!("used {id} {used}"));
                    Disposition::Sent { input_tokens: Some(used), proven: true }
                }
            };
            let since = taken.taken_at;
            let batch = self.batch(Settlement { reservation: taken, disposition }, since);
            let twice = self.rng.u32(..5) == 0;
            let settled = self.limiter.settle(batch.clone()).await.unwrap();
            self.seen = self.seen.max(settled.generation);
            if twice {
                self.limiter.settle(batch).await.unwrap();
            }
            say("settled");
        }
    }

    fn batch(&mut self, settlement: Settlement, since: u64) -> SettleBatch {
        self.number += 1;
        let scope = settlement.reservation.group.scope();
        let verdicts = match self.rng.u32(..20) {
            0 => vec![Verdict::Block { scope, reason: Reason::Cooldown, span: Span::Backoff, since }],
            1 => vec![Verdict::Clear { scope, since }],
            _ => Vec::new(),
        };
        let key = KeyId::parse("k0").unwrap();
        let tallies = vec![Tally { key, used_at: since, successes: 1, errors: 0, abandoned: 0 }];
        let settlements = vec![settlement];
        let (epoch, number, seen) = (self.epoch, self.number, self.seen);
        SettleBatch { epoch, number, seen, settlements, verdicts, tallies, ..SettleBatch::default() }
    }
}
