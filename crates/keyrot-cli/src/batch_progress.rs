//! The bar of a batch: how many are done, how fast, which keys can be used, how long it still takes.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use keyrot::KeyPool;

/// Characters of the bar itself.
const WIDTH: usize = 30;

/// Draws on a terminal only.
pub(crate) struct BatchProgress {
    bar: ProgressBar,
    pool: KeyPool,
}

impl BatchProgress {
    pub(crate) fn start(items: usize, pool: &KeyPool) -> Self {
        let bar = ProgressBar::new(items as u64);
        // Only the message at the end is cut off where there is little room.
        let template = "{spinner} {pos}/{len}  {rate}  {eta} left  {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let rate = |state: &ProgressState, line: &mut dyn Write| {
                let _ = write!(line, "{:.1}/s", state.per_sec()); // the bar takes all
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let progress = Self { bar, pool: pool.clone() };
        progress.show();
        progress
    }

    /// One item is over; what was done before says nothing about the rate.
    pub(crate) fn one_more(&self, skipped: bool) {
        self.bar.inc(1);
        if skipped {
            self.bar.reset_eta();
        }
        self.show();
    }

    /// Prints to standard output without tearing the bar.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn show(&self) {
        let health = self.pool.health();
        let usable = health.values().filter(|key| key.active && key.reason.is_none()).count();
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        let full = usize::try_from(done * WIDTH as u64 / all).unwrap_or_default().min(WIDTH);
        let drawn = "\u{2588}".repeat(full) + &"\u{2591}".repeat(WIDTH - full);
        self.bar.set_message(format!("{usable} of {} keys in use  {drawn}", health.len()));
    }
}

impl Drop for BatchProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
