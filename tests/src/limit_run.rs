//! One pool with one project against one kind of window, hours of virtual time, event by event: the pool, its
//! limiter, the verdict on a refusal and the pace learned from it are the real ones, and so are the provider's books.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use gemini_sim::{Call, Config, Engine, Latency, Reply, Window};
use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{AcquireError, ActiveLease, KeyPool, KeyRequest, Limits, ManualClock, Outcome, Usage};

use crate::world::{MODEL, entry, key_set, normal, project, secrets, wall_ms};

/// Between two calls of one client.
const STEP_US: u64 = 500;
/// A refusal comes back after this time.
const REFUSED_AFTER_US: u64 = 50_000;
const MINUTE_US: u64 = 60_000_000;
/// Runs begin at a moment that is no provider's full minute.
const BEGIN: Duration = Duration::from_millis(7_700);

/// What the provider limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests a minute.
    Requests(u32),
    /// Input tokens a minute; prompts of 2300 tokens on average, estimated with an error of a tenth.
    Tokens(u64),
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Always somebody.
    Saturating,
    /// Bursts of up to a minute's limit at random moments, on average 70 % of the limit.
    Bursts,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The provider's kind of window.
    pub window: Window,
    /// What it limits.
    pub limit: Limit,
    /// Who calls.
    pub load: Load,
    /// How long.
    pub minutes: u64,
    /// Of every random choice.
    pub seed: u64,
}

/// What a run shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Calls that callers wanted to make; under a saturating load those that were sent.
    pub offered: u64,
    /// Calls that were sent.
    pub sent: u64,
    /// Calls that the provider refused.
    pub refused: u64,
    /// Requests or tokens that the provider accepted.
    pub accepted: u64,
    /// What the limit allows in that time.
    pub capacity: u64,
    waited_us: u64,
}

impl Figures {
    /// What was accepted of what the limit allows, in percent.
    pub fn utilisation(&self) -> f64 {
        percent(self.accepted, self.capacity)
    }

    /// What was accepted of what was offered, in percent.
    pub fn served(&self) -> f64 {
        percent(self.accepted, self.offered)
    }

    /// Refusals in 1000 calls.
    pub fn refused_per_1000(&self) -> f64 {
        percent(self.refused, self.sent) * 10.0
    }

    /// How long a call of a burst waited on average, in seconds.
    pub fn mean_wait(&self) -> f64 {
        self.waited_us as f64 / self.sent.max(1) as f64 / 1e6
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// A call that was leased, at its way to the provider or back.
struct Travelling {
    lease: ActiveLease,
    /// Tokens of its prompt.
    tokens: u64,
    /// When it was asked for.
    asked_us: u64,
    /// What the provider said, once it has.
    said: Option<Result<Usage, Outcome>>,
}

/// See the module.
struct Simulation {
    run: Run,
    pool: KeyPool,
    clock: ManualClock,
    engine: Engine,
    rng: Rng,
    bursts: Rng,
    now_us: u64,
    /// Who comes when; ties in the order in which they were put in.
    events: BinaryHeap<Reverse<(u64, usize)>>,
    travelling: Vec<Option<Travelling>>,
    free: Vec<usize>,
    /// When those were asked for that nobody has sent yet.
    queue: VecDeque<u64>,
    next_burst_us: u64,
    /// Nobody can be sent before.
    shut_until_us: u64,
    /// The prompt that is sent next.
    prompt: (u64, u64),
    figures: Figures,
}

impl Run {
    /// Runs it.
    pub fn figures(self) -> Figures {
        let mut simulation = Simulation::new(self);
        let end = self.minutes * MINUTE_US;
        while simulation.now_us < end {
            simulation.step();
        }
        let capacity = match self.limit {
            Limit::Requests(limit) => u64::from(limit),
            Limit::Tokens(limit) => limit,
        };
        let figures = simulation.figures;
        let offered = if self.load == Load::Saturating { figures.sent } else { figures.offered };
        Figures { capacity: capacity * self.minutes, offered, ..figures }
    }
}

impl Simulation {
    fn new(run: Run) -> Self {
        let clock = ManualClock::default();
        clock.advance(BEGIN);
        let (ours, theirs) = match run.limit {
            Limit::Requests(limit) => {
                (Limits::new(Some(limit), None, None), gemini_sim::Limits::default().rpm(limit.into()))
            }
            Limit::Tokens(limit) => {
                (Limits::new(None, Some(limit), None), gemini_sim::Limits::default().tpm(limit))
            }
        };
        let keys = key_set([entry("key", "one").with_limits(ours)]);
        let pool = KeyPool::builder(keys.clone()).secrets(secrets(&keys)).clock(clock.clone());
        let config = Config::default()
            .window(run.window)
            .latency(Latency::ZERO)
            .project(project("one", &["key"]).limit(MODEL, theirs));
        let engine =
            Engine::new(config, run.seed, wall_ms(&clock)).expect("a configuration without problems");
        let mut simulation = Self {
            pool: pool.seed(run.seed).build(),
            clock,
            engine,
            rng: Rng::with_seed(run.seed),
            bursts: Rng::with_seed(run.seed + 1),
            now_us: 0,
            events: BinaryHeap::new(),
            travelling: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            next_burst_us: if run.load == Load::Bursts { 0 } else { u64::MAX },
            shut_until_us: 0,
            prompt: (0, 0),
            figures: Figures::default(),
            run,
        };
        simulation.prompt = simulation.draw_prompt();
        simulation
    }

    /// All that happens at this moment, then on to the next one.
    fn step(&mut self) {
        while let Some(&Reverse((_, place))) = self.events.peek().filter(|event| event.0.0 <= self.now_us) {
            self.events.pop();
            self.arrive(place);
        }
        while self.next_burst_us <= self.now_us {
            self.burst();
        }
        if self.somebody_waits() && self.shut_until_us <= self.now_us {
            self.send();
        }
        let mut next = self.next_burst_us;
        if let Some(Reverse((at, _))) = self.events.peek() {
            next = next.min(*at);
        }
        if self.somebody_waits() {
            next = next.min(self.shut_until_us);
        }
        let next = next.max(self.now_us + 1);
        self.clock.advance(Duration::from_micros(next - self.now_us));
        self.now_us = next;
    }

    fn somebody_waits(&self) -> bool {
        self.run.load == Load::Saturating || !self.queue.is_empty()
    }

    fn burst(&mut self) {
        let Limit::Requests(limit) = self.run.limit else { return };
        let size = 1 + u64::from(self.bursts.u32(0..limit));
        self.queue.extend(std::iter::repeat_n(self.next_burst_us, size as usize));
        self.figures.offered += size;
        let mean = MINUTE_US as f64 * (1.0 + f64::from(limit)) / 2.0 / (0.7 * f64::from(limit));
        self.next_burst_us += (-mean * (1.0 - self.bursts.f64()).ln()) as u64;
    }

    fn send(&mut self) {
        let (tokens, estimate) = self.prompt;
        match at_once(self.pool.acquire(&KeyRequest::model(MODEL).tokens(estimate))) {
            Ok(lease) => {
                let lease = lease.begin().expect("it is sent at once");
                let asked_us = self.queue.pop_front().unwrap_or(self.now_us);
                self.figures.waited_us += self.now_us - asked_us;
                self.figures.sent += 1;
                self.prompt = self.draw_prompt();
                let way = self.lognormal(80.0, 0.6, 2_000.0);
                self.put(self.now_us + way, Travelling { lease, tokens, asked_us, said: None });
                self.shut_until_us = self.now_us + STEP_US;
            }
            Err(AcquireError::Exhausted(told)) => {
                let wait = told.retry_after.expect("a minute that is full ends");
                self.shut_until_us = self.now_us + (wait.as_micros() as u64).max(STEP_US);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A call has come to the provider, or back.
    fn arrive(&mut self, place: usize) {
        let mut call = self.travelling[place].take().expect("one call, one event");
        self.free.push(place);
        let Some(said) = call.said else {
            let (said, after) = self.provider(&call);
            call.said = Some(said);
            return self.put(self.now_us + after, call);
        };
        match said {
            Ok(usage) => at_once(call.lease.succeeded(usage)),
            Err(outcome) => {
                at_once(call.lease.report(outcome));
                if self.run.load == Load::Bursts {
                    self.queue.push_front(call.asked_us);
                }
            }
        }
        self.shut_until_us = self.shut_until_us.min(self.now_us); // who waits is woken
    }

    fn provider(&mut self, call: &Travelling) -> (Result<Usage, Outcome>, u64) {
        let secret = call.lease.secret().expose_secret();
        let ask = Call::generate(secret, MODEL, "Buy").input_tokens(call.tokens);
        match self.engine.arrive(wall_ms(&self.clock), &ask).reply {
            Reply::Refused(refusal) => {
                self.figures.refused += 1;
                (Err(keyrot_gemini::classify(refusal.status, None, &refusal.body)), REFUSED_AFTER_US)
            }
            _ => {
                self.figures.accepted += match self.run.limit {
                    Limit::Requests(_) => 1,
                    Limit::Tokens(_) => call.tokens,
                };
                // a short answer, or one of 560 tokens at 100 a second
                let median_ms = if matches!(self.run.limit, Limit::Tokens(_)) { 5_000.0 } else { 800.0 };
                (Ok(Usage::input(call.tokens)), self.lognormal(median_ms, 0.6, 60_000.0))
            }
        }
    }

    fn put(&mut self, at_us: u64, call: Travelling) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.travelling.push(None);
            self.travelling.len() - 1
        });
        self.travelling[place] = Some(call);
        self.events.push(Reverse((at_us, place)));
    }

    /// Tokens of the next prompt, and what the caller takes them for.
    fn draw_prompt(&mut self) -> (u64, u64) {
        match self.run.limit {
            Limit::Requests(_) => (1_000, 1_000),
            Limit::Tokens(_) => {
                let tokens = (2_000.0 * (0.5 * normal(&mut self.rng)).exp()).clamp(50.0, 20_000.0);
                let estimate = tokens * (0.1 * normal(&mut self.rng)).exp();
                (tokens as u64, estimate as u64)
            }
        }
    }

    /// Microseconds.
    fn lognormal(&mut self, median_ms: f64, sigma: f64, most_ms: f64) -> u64 {
        (1_000.0 * (median_ms * (sigma * normal(&mut self.rng)).exp()).min(most_ms)) as u64
    }
}

/// With books and secrets in the same process nothing of a pool waits.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("nobody else is asked")
}
