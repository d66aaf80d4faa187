//! The load of `keyrot demo`: sentences that are turned into strategies, several at a time, at a steady pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyrot_core::{Clock, SystemClock};
use strategy_gen::{GenerateError, GenerateOptions, Strategy, StrategyGenerator};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::demo_scene::MODEL;

/// One is begun that often: enough to use up small quotas, easy on the processor.
const PACE: Duration = Duration::from_millis(167);
/// How many are under way at most.
const AT_A_TIME: usize = 8;
/// How long one may take, waiting for a key included.
const DEADLINE: Duration = Duration::from_secs(60);

/// What users ask for.
pub(crate) const SENTENCES: [&str; 12] = [
    "Buy when RSI is below 30, sell when it is above 70",
    "Buy when the 10 day SMA crosses above the 30 day SMA, sell on the opposite cross",
    "Buy at the lower Bollinger band and sell at the upper one",
    "Buy when MACD crosses above its signal line, sell when it crosses below",
    "Buy when RSI(7) is below 20, close above 60",
    "Go long while the 12 period EMA is above the 26 period EMA",
    "Buy below the Bollinger bands of 20 days with 2.5 standard deviations",
    "Follow the momentum of the last month",
    "Buy when the 21-period RSI is under 35, exit over 65",
    "Trade the cross of the 50 and 200 day moving averages",
    "Buy on MACD strength and leave when it fades",
    "Buy when the 5 day EMA rises above the 20 day EMA",
];

/// A generation that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What came of it.
    pub(crate) result: Result<Strategy, GenerateError>,
    /// How long its caller has waited.
    pub(crate) took: Duration,
}

/// Begins generations until `end`, reports each, and returns when the last one has ended. If the future is
/// dropped, they end as well.
pub(crate) async fn generate(
    generator: StrategyGenerator,
    end: Instant,
    finished: mpsc::UnboundedSender<Finished>,
) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut running = JoinSet::new();
    let mut next = SystemClock.now();
    for sentence in SENTENCES.iter().cycle() {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        next = (next + PACE).max(SystemClock.now());
        SystemClock.sleep_until(next).await;
        if next >= end {
            break;
        }
        let (generator, finished) = (generator.clone(), finished.clone());
        running.spawn(async move {
            let begun = SystemClock.now();
            let options = GenerateOptions::default().model(MODEL).deadline(DEADLINE);
            let result = generator.generate(sentence, &options).await;
            // Nobody listens any more if the demo was interrupted.
            let _ = finished.send(Finished { result, took: SystemClock.now() - begun });
            drop(place);
        });
    }
    while running.join_next().await.is_some() {}
}
