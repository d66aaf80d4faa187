//! Reads a refusal for quota: which window, whose, and how long to wait.

use std::time::Duration;

use keyrot_core::{Blame, Effect, LearnedLimit, Quota};

use crate::envelope::{ErrorBody, Violation, parse_delay};

/// A minute window that names no delay is over after this.
const MINUTE: Duration = Duration::from_secs(60);

/// What a 429 says.
pub(crate) struct QuotaVerdict {
    pub(crate) blame: Blame,
    pub(crate) effect: Effect,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) learned: Option<LearnedLimit>,
}

impl QuotaVerdict {
    fn new(blame: Blame, effect: Effect) -> Self {
        Self { blame, effect, retry_after: None, learned: None }
    }
}

/// The period of a quota; the longer one is the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Period {
    Unknown,
    Minute,
    Day,
}

/// The verdict on a 429 whose reason and text blame neither credit nor capacity.
pub(crate) fn read(error: &ErrorBody, message: &str, retry_after: Option<Duration>) -> QuotaVerdict {
    let named = error.retry_delay.or_else(|| delay_in(message));
    let violations = violations(error);
    let worst = violations.iter().max_by_key(|violation| severity(violation));
    let zero = violations.iter().any(|violation| violation.value == Some(0));
    if zero || names_limit_zero(message) {
        // The delay that comes along is useless: this tier has no quota for the model. Nor is there a limit to
        // learn: zero would outlast a change of the tier.
        return QuotaVerdict::new(Blame::ProjectModel, Effect::NoQuota);
    }
    let Some(worst) = worst else {
        // "Please retry in" is the tail of the text about a quota that is counted per model. Without it the cause
        // may be anti-abuse, a spend limit or lag: it is the project's.
        let blame =
            if named.is_some() && !message.contains("spend") { Blame::ProjectModel } else { Blame::Project };
        return QuotaVerdict {
            retry_after: named.or(retry_after),
            ..QuotaVerdict::new(blame, Effect::Cooldown)
        };
    };
    let blame = if counts_whole_project(worst) { Blame::Project } else { Blame::ProjectModel };
    let verdict =
        QuotaVerdict { learned: learned(Some(worst)), ..QuotaVerdict::new(blame, Effect::Cooldown) };
    let delay = named.or(retry_after);
    match period(worst) {
        // The day's quota is gone, whatever RetryInfo says.
        Period::Day => QuotaVerdict { effect: Effect::UntilPacificMidnight, ..verdict },
        Period::Minute => QuotaVerdict { retry_after: delay.or(Some(MINUTE)), ..verdict },
        Period::Unknown => QuotaVerdict { retry_after: delay, ..verdict },
    }
}

/// The violations, also in the older form where `ErrorInfo` carries the only one.
fn violations(error: &ErrorBody) -> Vec<Violation> {
    let parts = |violation: &Violation| Violation {
        metric: violation.metric.to_ascii_lowercase(),
        id: violation.id.to_ascii_lowercase(),
        ..*violation
    };
    let mut violations: Vec<Violation> = error.violations.iter().map(parts).collect();
    if violations.is_empty() {
        violations.extend(error.infos.iter().filter_map(|info| {
            Some(Violation {
                metric: info.metadata("quota_metric").unwrap_or_default().to_ascii_lowercase(),
                id: info.metadata("quota_limit")?.to_ascii_lowercase(),
                names_model: false,
                value: info.metadata("quota_limit_value").and_then(|value| value.parse().ok()),
            })
        }));
    }
    violations
}

/// The longest period first; then requests before tokens, the lowest value, so that the order of the list
/// decides nothing.
fn severity(violation: &Violation) -> (Period, bool, std::cmp::Reverse<u64>) {
    (period(violation), !counts_tokens(violation), std::cmp::Reverse(violation.value.unwrap_or(u64::MAX)))
}

fn period(violation: &Violation) -> Period {
    let says = |words: [&str; 3]| {
        words.iter().any(|word| violation.id.contains(word) || violation.metric.contains(word))
    };
    if says(["perday", "per_day", "daily"]) {
        Period::Day
    } else if says(["perminute", "per_minute", "per-minute"]) {
        Period::Minute
    } else {
        Period::Unknown
    }
}

fn counts_tokens(violation: &Violation) -> bool {
    violation.metric.contains("token") || violation.id.contains("token")
}

fn counts_requests(violation: &Violation) -> bool {
    !counts_tokens(violation) && (violation.metric.contains("request") || violation.id.contains("request"))
}

fn counts_whole_project(violation: &Violation) -> bool {
    violation.id.contains("perproject") && !violation.id.contains("permodel") && !violation.names_model
}

/// The limit of a window that the pool counts itself. Tokens of a day, images and limits of a whole project
/// are none of them.
fn learned(violation: Option<&Violation>) -> Option<LearnedLimit> {
    let violation = violation.filter(|violation| !counts_whole_project(violation))?;
    let quota = match period(violation) {
        Period::Day if counts_requests(violation) => Quota::RequestsPerDay,
        Period::Minute if counts_requests(violation) => Quota::RequestsPerMinute,
        Period::Minute if counts_tokens(violation) => Quota::TokensPerMinute,
        _ => return None,
    };
    Some(LearnedLimit { quota, value: violation.value })
}

/// `limit: 0` that is not the beginning of another number.
fn names_limit_zero(message: &str) -> bool {
    message.match_indices("limit:").any(|(at, word)| {
        let Some(rest) = message[at + word.len()..].trim_start().strip_prefix('0') else { return false };
        let mut next = rest.chars();
        match next.next() {
            Some('.') => !next.next().is_some_and(|digit| digit.is_ascii_digit()),
            Some(digit) => !digit.is_ascii_digit(),
            None => true,
        }
    })
}

/// `Please retry in 56.18s.`
fn delay_in(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("retry in ")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
    parse_delay(rest[..end].trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_zero_is_not_found_inside_other_numbers() {
        for text in ["limit: 0, model", "limit: 0", "limit:0.", "limit: 20 limit: 0\n"] {
            assert!(names_limit_zero(text), "{text}");
        }
        for text in ["limit: 05", "limit: 0.5", "limit: 10", "limit: ", "unlimited"] {
            assert!(!names_limit_zero(text), "{text}");
        }
    }

    #[test]
    fn delays_in_a_message() {
        for (text, millis) in
            [("please retry in 5s.", 5000), ("x\nplease retry in 900ms", 900), ("retry in 1.5s!", 1500)]
        {
            assert_eq!(delay_in(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["retry in a while", "retry in ", "please retry", "retry in 0s"] {
            assert_eq!(delay_in(text), None, "{text}");
        }
    }
}
