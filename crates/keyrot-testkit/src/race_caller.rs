//! One of the processes of a race: takes, sends, settles, repeats itself, gives back and forgets, and says so.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use keyrot_core::{
    Ask, Candidate, Clock, Disposition, Group, KeyId, Limits, RateLimiter, Reason, SettleBatch, Settlement,
    Sleep, Span, SystemClock, Tally, Verdict,
};

use crate::race::Open;

const TASKS: u64 = 4;
pub(crate) const PROJECTS: usize = 8;
pub(crate) const KEYS: usize = 20;
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
    pub(crate) speed: u32,
}

impl FastClock {
    /// Since the race began.
    pub(crate) fn passed(&self) -> Duration {
        SystemClock.wall().duration_since(self.began).unwrap_or_default() * self.speed
    }
}

/// Two minutes before midnight in Los Angeles.
const BEGIN: Duration = Duration::from_secs(1_767_686_280);

impl Clock for FastClock {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + BEGIN + self.passed()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        SystemClock.sleep_until(deadline)
    }
}

pub(crate) fn key(number: usize) -> KeyId {
    KeyId::parse(&format!("k{number}")).expect("an id")
}

pub(crate) fn candidate(number: usize) -> Candidate {
    let project = number % PROJECTS;
    let group = Group { project: format!("p{project}").as_str().into(), model: "m".into() };
    let limits = Limits::new(Some(RPM), Some(TPM), Some(rpd(project)));
    Candidate { group: Arc::new(group), limits, key: key(number) }
}

/// What a process is told.
pub(crate) struct Role {
    pub(crate) process: u64,
    pub(crate) clock: FastClock,
    pub(crate) place: String,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FastClock { began, speed } = self.clock;
        let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        write!(f, "{} {began} {speed} {}", self.process, self.place)
    }
}

impl Role {
    pub(crate) fn read(text: &str) -> Self {
        let mut parts = text.splitn(4, ' ');
        let mut next = || parts.next().expect("four parts");
        let process = next().parse().expect("a number");
        let began = SystemTime::UNIX_EPOCH + Duration::from_micros(next().parse().expect("a time"));
        let speed = next().parse().expect("a speed");
        Self { process, clock: FastClock { began, speed }, place: next().to_owned() }
    }
}

/// A line for whoever keeps the ledger. It is complete or it is not there.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let said = out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush());
    said.expect("a race that listens");
}

pub(crate) fn call_until_killed(role: &Role, open: Open) {
    let ids = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let limiter = open(&role.place, Arc::new(role.clock));
        let one = |task: u64| {
            let number = role.process * 100 + task + 1;
            let rng = fastrand::Rng::with_seed(number);
            let (limiter, ids) = (Arc::clone(&limiter), Arc::clone(&ids));
            tokio::spawn(Caller { limiter, ids, rng, epoch: number, batches: 0, seen: 0 }.call())
        };
        let tasks: Vec<_> = (0..TASKS).map(one).collect();
        for task in tasks {
            task.await.expect("a task that never ends");
        }
    });
}

struct Caller {
    limiter: Arc<dyn RateLimiter>,
    ids: Arc<AtomicU64>,
    rng: fastrand::Rng,
    epoch: u64,
    batches: u64,
    seen: u64,
}

impl Caller {
    async fn call(mut self) {
        loop {
            let count = self.rng.usize(1..=3);
            let candidates: Vec<Candidate> = (0..count).map(|_| candidate(self.rng.usize(..KEYS))).collect();
            let tokens = self.rng.u64(100..2_000);
            let ask = Ask { tokens, probe_ttl: Duration::from_secs(20) };
            let reserved = self.limiter.reserve(&candidates, &[ask], self.seen).await.expect("an answer");
            self.seen = reserved.generation;
            let Some(grant) = reserved.grants.into_iter().next() else {
                say("refused");
                continue;
            };
            let (taken, key) = (grant.reservation, candidates[grant.candidate].key.clone());
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            let (project, at, day_end) = (&taken.group.project, taken.taken_at, taken.day_end);
            say(&format!("took {id} {project} {key} {at} {tokens} {day_end}"));
            let disposition = match self.rng.u32(..10) {
                0 => continue, // whoever sent it is never heard of again
                1 => {
                    // said first: once it is given back somebody else may have it
                    say(&format!("gives-back {id}"));
                    Disposition::Release
                }
                _ => {
                    let used = self.rng.u64(50..=tokens);
                    say(&format!("used {id} {used}"));
                    Disposition::Sent { input_tokens: Some(used), proven: true }
                }
            };
            let batch = self.batch(key, Settlement { reservation: taken, disposition });
            let settled = self.limiter.settle(batch.clone()).await.expect("an answer");
            self.seen = self.seen.max(settled.generation);
            say(&format!("settled {id}"));
            if self.rng.u32(..5) == 0 {
                self.limiter.settle(batch).await.expect("an answer");
                say("repeated");
            }
        }
    }

    fn batch(&mut self, key: KeyId, settlement: Settlement) -> SettleBatch {
        self.batches += 1;
        let (scope, since) = (settlement.reservation.group.scope(), settlement.reservation.taken_at);
        let verdicts = match self.rng.u32(..20) {
            0 => vec![Verdict::Block { scope, reason: Reason::Cooldown, span: Span::Backoff, since }],
            1 => vec![Verdict::Clear { scope, since }],
            _ => Vec::new(),
        };
        let tallies = vec![Tally { key, used_at: since, successes: 1, errors: 0, abandoned: 0 }];
        let settlements = vec![settlement];
        let (epoch, number, seen) = (self.epoch, self.batches, self.seen);
        SettleBatch { epoch, number, seen, settlements, verdicts, tallies, ..SettleBatch::default() }
    }
}
