//! The bar of a batch: how many are done, how fast, which keys can be used, how long it still takes.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use keyrot::KeyPool;

/// Draws on a terminal only.
pub(crate) struct BatchProgress {
    bar: ProgressBar,
    pool: KeyPool,
}

impl BatchProgress {
    pub(crate) fn start(items: usize, pool: &KeyPool) -> Self {
        let bar = ProgressBar::new(items as u64);
        let template = "{spinner} {bar:30} {pos}/{len}  {per_sec}  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let progress = Self { bar, pool: pool.clone() };
        progress.show_keys();
        progress
    }

    /// One item is over; what was done before says nothing about the rate.
    pub(crate) fn one_more(&self, skipped: bool) {
        self.bar.inc(1);
        if skipped {
            self.bar.reset_eta();
        }
        self.show_keys();
    }

    /// Prints to standard output without tearing the bar.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn show_keys(&self) {
        let health = self.pool.health();
        let usable = health.values().filter(|key| key.active && key.reason.is_none()).count();
        self.bar.set_message(format!("{usable} of {} keys in use", health.len()));
    }
}

impl Drop for BatchProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
