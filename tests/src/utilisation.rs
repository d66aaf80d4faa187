//! How much of its quota a saturated pool uses, and how often the provider has to refuse it.

use std::time::Duration;

use gemini_sim::{Config, Latency, Limits, Window};
use keyrot_core::{Clock, KeyRequest, ManualClock};
use keyrot_testkit::run_virtual;

use crate::record;
use crate::world::{MODEL, Way, World, entry, project};

/// How long each run lasts.
pub const MINUTES: u64 = 10;
/// How many projects there are, each with one key.
pub const PROJECTS: u32 = 5;

/// How the load begins. What is admitted at once comes back at once a window later, for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Every caller at the same moment: bursts.
    AtOnce,
    /// One after another at the rate that the limits allow: a steady flow.
    Spread,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Case {
    /// The provider's kind of window.
    pub window: Window,
    /// Requests per minute of each project.
    pub limit: u32,
    /// How the load begins.
    pub start: Start,
    /// Of every random choice.
    pub seed: u64,
}

/// What a run shows.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Of which run.
    pub case: Case,
    /// Calls accepted within [`MINUTES`] of the first.
    pub accepted: usize,
    /// Calls refused with 429.
    pub refused: usize,
}

/// The head of the table whose lines [`Figures`] are.
pub const TABLE_HEAD: &str = "\
| provider's window            |   L | start   | used    | 429 |
|------------------------------|-----|---------|---------|-----|";

impl Figures {
    /// Accepted calls by what the limits allow, in percent. A bucket's first fill is not counted as capacity.
    pub fn utilisation(&self) -> f64 {
        let capacity = u64::from(self.case.limit) * MINUTES * u64::from(PROJECTS);
        100.0 * self.accepted as f64 / capacity as f64
    }
}

/// A line of a table.
impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let window = match self.case.window {
            Window::Fixed { phase_ms } => format!("fixed minute, phase {:.3} s", phase_ms as f64 / 1000.0),
            Window::FromFirst => "minute from the first call".to_owned(),
            Window::Sliding => "sliding minute".to_owned(),
            Window::TwoMinutes => "two minutes, weighed".to_owned(),
            Window::Bucket { burst } => format!("bucket, burst {burst} L"),
        };
        let start = match self.case.start {
            Start::AtOnce => "at once",
            Start::Spread => "spread",
        };
        let (limit, used, refused) = (self.case.limit, self.utilisation(), self.refused);
        write!(f, "| {window:<28} | {limit:>3} | {start:<7} | {used:>5.1} % | {refused:>3} |")
    }
}

/// The kinds of window that a pool must serve without a refusal.
pub fn windows() -> Vec<Window> {
    let phases = [0, 13_700, 30_000, 47_300, 59_999].map(|phase_ms| Window::Fixed { phase_ms });
    phases.into_iter().chain([Window::FromFirst, Window::Sliding, Window::Bucket { burst: 1.0 }]).collect()
}

/// Runs twice as many callers as all limits together admit at once, for [`MINUTES`] of virtual time.
pub fn run(case: Case) -> Figures {
    let clock = ManualClock::default();
    let names: Vec<String> = (0..PROJECTS).map(|number| format!("p{number}")).collect();
    let limits = keyrot_core::Limits::new(Some(case.limit), None, None);
    let mut config =
        Config::default().window(case.window).latency(Latency::Lognormal { median_ms: 800.0, sigma: 0.6 });
    for name in &names {
        config =
            config.project(project(name, &[name]).limit(MODEL, Limits::default().rpm(u64::from(case.limit))));
    }
    let entries = names.iter().map(|name| entry(name, name).with_limits(limits));
    let world = World::new(clock.clone(), config, entries, case.seed)
        .way(Way::Lognormal { median_ms: 80.0, sigma: 0.6 });
    let callers = 2 * case.limit * PROJECTS;
    let gap = match case.start {
        Start::AtOnce => Duration::ZERO,
        Start::Spread => Duration::from_secs(60) / (case.limit * PROJECTS),
    };
    run_virtual(clock.clone(), saturate(world.clone(), callers, gap));
    let all = world.attempts();
    let first = all.first().map_or(0, |attempt| attempt.time_ms);
    let in_time: Vec<_> =
        all.into_iter().filter(|attempt| attempt.time_ms < first + MINUTES * 60_000).collect();
    Figures { case, accepted: record::accepted(&in_time), refused: record::too_many_requests(&in_time) }
}

async fn saturate(world: World, callers: u32, gap: Duration) {
    let end = world.clock.now() + Duration::from_secs(60 * MINUTES + 1);
    let request = KeyRequest::model(MODEL).within(Duration::from_secs(3600));
    let ready = world.clock.now() + gap * callers / 2;
    let mut all = tokio::task::JoinSet::new();
    for number in 0..callers {
        let (world, request) = (world.clone(), request.clone());
        all.spawn(async move {
            world.pass(gap * number).await;
            loop {
                if let Err(error) = world.generate(&request).await {
                    panic!("a caller saw an error: {error:?}");
                }
                world.until(ready).await; // later calls queue up behind the first ones
            }
        });
    }
    tokio::select! {
        () = world.until(end) => {}
        Some(ended) = all.join_next() => ended.expect("a caller goes on until it is stopped"),
    }
}
