//! `keyrot demo`: keys rotate, fail over and recover against a simulator, and no caller notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use keyrot::strategy_gen::{AttemptReport, GenerateError, GenerateOptions, Strategy, StrategyGenerator};
use keyrot::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::arguments::Options;
use crate::demo_summary::Summary;
use crate::demo_view::{Moment, View};
use crate::demo_world::{MODEL, World};
use crate::failure::Failure;
use crate::output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {}

/// New strategies are begun for so long.
const LASTS: Duration = Duration::from_secs(18);
/// How many callers there are at the same time.
const CALLERS: usize = 4;
/// How often the table changes.
const REFRESH: Duration = Duration::from_millis(200);

/// What the callers ask for, in turn.
const SENTENCES: [&str; 6] = [
    "Buy when RSI < 30, sell when RSI > 70",
    "Buy when the 10-day SMA crosses above the 30-day SMA, sell when it crosses below",
    "Buy below the lower Bollinger band of 20 days, sell at the middle",
    "Buy when MACD crosses above its signal line, sell when it crosses below",
    "Buy when the 12-day EMA is above the 26-day EMA, sell otherwise",
    "Buy after three rising days, sell after two falling ones",
];

type Outcome = Result<Strategy, GenerateError>;

pub(crate) async fn run(_: DemoArguments, options: &Options) -> Result<(), Failure> {
    let world = World::start().await?;
    let shown = tokio::select! {
        shown = show(&world) => Ok(shown),
        signal = session::stop_signal() => Err(Failure::stopped(signal)),
    };
    world.end().await;
    let summary = shown?;
    if options.json {
        output::print_json(&summary)?;
    } else {
        output::print(&summary.for_people())?;
    }
    match summary.caller_visible_failures {
        0 => Ok(()),
        failures => Err(Failure::failed(format!("{failures} callers were told of a failure"))),
    }
}

/// Lets callers ask until the time is over, and shows what becomes of it.
async fn show(world: &World) -> Summary {
    let clock = SystemClock;
    let start = clock.now();
    let (told, mut results) = mpsc::unbounded_channel();
    let mut callers = JoinSet::new(); // ends them when it is dropped
    let turn = Arc::new(AtomicUsize::new(0));
    for _ in 0..CALLERS {
        callers.spawn(ask(world.generator.clone(), Arc::clone(&turn), start + LASTS, told.clone()));
    }
    drop(told);
    let mut view = View::new();
    let mut attempts: Vec<AttemptReport> = Vec::new();
    let (mut generated, mut failed, mut latest) = (0, 0, String::new());
    let mut refresh_at = start;
    loop {
        tokio::select! {
            result = results.recv() => {
                let Some(result) = result else { break };
                match result {
                    Ok(strategy) => {
                        generated += 1;
                        latest = in_words(&strategy);
                        attempts.extend(strategy.attempts);
                    }
                    Err(error) => {
                        failed += 1;
                        latest = format!("a caller was told: {error}");
                        attempts.extend(error.spent().map(|spent| spent.attempts.clone()).unwrap_or_default());
                    }
                }
                view.say(clock.now() - start, &latest);
            }
            () = clock.sleep_until(refresh_at) => refresh_at = clock.now() + REFRESH,
        }
        let moment = Moment { elapsed: clock.now() - start, generated, failed, latest: &latest };
        view.refresh(&world.pool, &moment).await;
    }
    view.end();
    let seconds = (clock.now() - start).as_secs_f64();
    Summary::new(&world.server.attempts(), &attempts, generated, failed, seconds)
}

/// One caller: a strategy, then the next, until `end`.
async fn ask(
    generator: StrategyGenerator,
    turn: Arc<AtomicUsize>,
    end: Instant,
    told: mpsc::UnboundedSender<Outcome>,
) {
    let options = GenerateOptions::default().model(MODEL).deadline(Duration::from_secs(60));
    while SystemClock.now() < end {
        let sentence = SENTENCES[turn.fetch_add(1, Ordering::Relaxed) % SENTENCES.len()];
        if told.send(generator.generate(sentence, &options).await).is_err() {
            return; // nobody watches any more
        }
    }
}

fn in_words(strategy: &Strategy) -> String {
    let failed: Vec<&str> = strategy
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome != "success")
        .map(|attempt| attempt.key_id.as_str())
        .collect();
    match failed.as_slice() {
        [] => format!("{} with {}", strategy.class_name, strategy.key_id),
        failed => {
            format!("{} with {}, after {} failed", strategy.class_name, strategy.key_id, failed.join(", "))
        }
    }
}
