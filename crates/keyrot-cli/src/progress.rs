//! The line that moves while something takes its time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use keyrot::strategy_gen::Progress;

/// A spinner with what is being done; nothing at all if nobody watches.
pub(crate) struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    /// For a strategy: characters and tokens.
    pub(crate) fn start() -> Self {
        Self::saying("waiting for the first words")
    }

    pub(crate) fn saying(text: &str) -> Self {
        let bar = ProgressBar::new_spinner(); // draws only on a terminal
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    pub(crate) fn show(&self, progress: Progress) {
        self.bar.set_message(text(progress));
    }

    pub(crate) fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn text(progress: Progress) -> String {
    if progress.testing {
        return "running it in the sandbox".to_owned();
    }
    let doing = if progress.round == 0 { "writing" } else { "correcting" };
    match progress.output_tokens {
        Some(tokens) => format!("{doing}: {} characters, {tokens} tokens", progress.chars),
        None => format!("{doing}: {} characters", progress.chars),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_in_which_round() {
        assert_eq!(text(Progress::new(120, None)), "writing: 120 characters");
        let mut repair = Progress::new(7, Some(3));
        repair.round = 1;
        assert_eq!(text(repair), "correcting: 7 characters, 3 tokens");
        repair.testing = true;
        assert_eq!(text(repair), "running it in the sandbox");
    }
}
