//! What happens to a key, in words.

use std::time::Duration;

use keyrot_core::Reason;

use crate::demo_watch::Phase;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// For a column of a table.
    pub(crate) short: String,
    /// A line of its own.
    pub(crate) text: String,
}

impl Note {
    fn new(short: impl Into<String>, text: impl Into<String>) -> Self {
        Self { short: short.into(), text: text.into() }
    }

    /// The provider named a lower limit than the entry.
    pub(crate) fn learned(allowed: u32, stated: u32) -> Self {
        Self::new(
            format!("learned limit {allowed}"),
            format!("learned: the provider allows {allowed} requests a minute, the entry says {stated}"),
        )
    }
}

/// A block that ends later than the known one by less than this is the same one.
const SAME_BLOCK: Duration = Duration::from_millis(500);

/// What the step from one phase to the next means. `failed`: a call has failed since the last look; `error` is what
/// the provider said of the last that did.
pub(crate) fn of_step(before: Phase, after: Phase, failed: bool, error: Option<&str>) -> Option<Note> {
    let (reason, left) = match after {
        Phase::Ready if before == Phase::Ready => return None,
        Phase::Ready => return Some(Note::new("works again", "works again")),
        Phase::Trying => return None,
        Phase::Blocked { reason, left } => (reason, left),
    };
    let again = match before {
        Phase::Ready => false,
        Phase::Trying => true,
        Phase::Blocked { reason: earlier, left: earlier_left } if earlier == reason => {
            let renewed = left.zip(earlier_left).is_some_and(|(left, old)| left > old + SAME_BLOCK);
            if !renewed || !failed {
                return None;
            }
            true
        }
        Phase::Blocked { .. } => false,
    };
    let still = if again { "still " } else { "" };
    let wait = left.map_or_else(String::new, |left| format!(" for {}", seconds(left)));
    let because = error.map_or_else(String::new, |error| format!(" ({error})"));
    Some(match reason {
        Reason::KeyRejected => {
            let then = left.map_or_else(String::new, |left| format!(", next try in {}", seconds(left)));
            Note::new(format!("{still}rejected"), format!("{still}rejected{because}{then}"))
        }
        Reason::ModelOverloaded => {
            let text = format!("{still}overloaded{because}: its project rests{wait}");
            Note::new(format!("{still}overloaded"), text)
        }
        reason if is_quota(reason) => Note::new(
            "quota used up",
            format!("the quota of its project is used up: nothing is sent there{wait}"),
        ),
        reason => Note::new(format!("{still}{reason}"), format!("{still}rests{wait}: {reason}{because}")),
    })
}

/// True if the books say so, not a failure.
pub(crate) fn is_quota(reason: Reason) -> bool {
    matches!(reason, Reason::DayQuota | Reason::MinuteRequests | Reason::MinuteTokens | Reason::Pace)
}

/// The phase in a few words.
pub(crate) fn phase(phase: Phase) -> String {
    let (reason, left) = match phase {
        Phase::Ready => return "ready".to_owned(),
        Phase::Trying => return "trying again".to_owned(),
        Phase::Blocked { reason, left } => (reason, left.map(seconds).unwrap_or_default()),
    };
    let text = match reason {
        Reason::KeyRejected => format!("rejected {left}"),
        reason if is_quota(reason) => format!("quota used {left}"),
        _ => format!("cooldown {left}"),
    };
    text.trim_end().to_owned()
}

/// With one decimal place below ten seconds, where people watch it run down.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(reason: Reason, seconds: u64) -> Phase {
        Phase::Blocked { reason, left: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn a_block_is_told_once_and_again_when_a_try_has_failed() {
        let first = blocked(Reason::KeyRejected, 3);
        let told = of_step(Phase::Ready, first, true, Some("400")).unwrap();
        assert_eq!(told.text, "rejected (400), next try in 3.0 s");
        assert_eq!(of_step(first, blocked(Reason::KeyRejected, 2), true, None), None);
        assert_eq!(of_step(first, Phase::Trying, false, None), None);
        let longer = blocked(Reason::KeyRejected, 6);
        for before in [Phase::Trying, blocked(Reason::KeyRejected, 0)] {
            assert!(of_step(before, longer, true, None).unwrap().text.starts_with("still rejected"));
        }
        assert_eq!(of_step(first, longer, false, None), None, "nothing was tried");
    }

    #[test]
    fn a_quota_that_stays_used_up_is_told_once() {
        let used = blocked(Reason::MinuteRequests, 40);
        assert!(of_step(Phase::Ready, used, true, None).unwrap().text.ends_with("for 40 s"));
        assert_eq!(of_step(blocked(Reason::MinuteRequests, 0), used, false, None), None);
    }

    #[test]
    fn recovery_is_told() {
        assert_eq!(of_step(Phase::Trying, Phase::Ready, false, None).unwrap().text, "works again");
        assert_eq!(of_step(Phase::Ready, Phase::Ready, true, None), None);
    }

    #[test]
    fn a_table_shows_what_is_left() {
        assert_eq!(phase(blocked(Reason::ModelOverloaded, 3)), "cooldown 3.0 s");
        assert_eq!(phase(Phase::Blocked { reason: Reason::KeyRejected, left: None }), "rejected");
    }
}
