//! What the provider says to a new key, asked until it says yes: fresh keys may be refused for a while.

use std::time::Duration;

use keyrot::gemini::{Gemini, GeminiError};
use keyrot::secrecy::SecretString;
use keyrot::{Classify, Clock, Effect};

use crate::failure::Failure;
use crate::output;
use crate::secrets_target::Target;

/// So long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Pauses between two questions: they double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the provider says to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// Not now; perhaps in a while.
    NotYet(String),
    /// Waiting changes nothing.
    Refused(String),
}

/// The provider of an entry.
pub(crate) struct Provider {
    gemini: Gemini,
}

impl Provider {
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        if target.key.provider != "gemini" {
            return Err(Failure::usage(format!(
                "the provider of {} is {:?}, which this build cannot ask about a key; keyrot secrets put writes one \
                 without asking",
                target.key.key_id, target.key.provider
            )));
        }
        Ok(Self { gemini: target.settings.gemini()? })
    }

    /// Asks which models the key may use, the cheapest question that shows whether it works.
    pub(crate) async fn ask(&self, secret: &SecretString) -> Answer {
        match tokio::time::timeout(ANSWER, self.gemini.models(secret)).await {
            Ok(Ok(_)) => Answer::Accepted,
            Ok(Err(error)) => answer(&error),
            Err(_) => Answer::NotYet(format!("no answer within {}", output::span(ANSWER))),
        }
    }
}

/// Without quota a key is as good as with it; only the provider's own word against it counts.
fn answer(error: &GeminiError) -> Answer {
    let outcome = error.outcome();
    match outcome.effect {
        Effect::Success | Effect::Cooldown | Effect::UntilPacificMidnight | Effect::NoQuota => {
            Answer::Accepted
        }
        Effect::Fail | Effect::OutOfCredit | Effect::ModelMissing => {
            Answer::Refused(outcome.detail.into_owned())
        }
        _ => Answer::NotYet(outcome.detail.into_owned()), // also a project: what was switched on just now takes a while
    }
}

/// Asks until the provider accepts, for as long as the patience lasts. How often it was asked, and why it did not
/// accept if it did not.
pub(crate) async fn until_accepted(
    clock: &impl Clock,
    patience: Duration,
    ask: impl AsyncFn() -> Answer,
    tell: impl Fn(&str),
) -> (u32, Result<(), String>) {
    let end = clock.now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut asked = 0;
    loop {
        asked += 1;
        let why = match ask().await {
            Answer::Accepted => return (asked, Ok(())),
            Answer::Refused(why) => return (asked, Err(why)),
            Answer::NotYet(why) => why,
        };
        let now = clock.now();
        if now >= end {
            let tries = if asked == 1 { "once".to_owned() } else { format!("{asked} times") };
            return (asked, Err(format!("{why} (asked {tries} within {})", output::span(patience))));
        }
        let left = output::span(end - now);
        tell(&format!("the provider refuses the new key so far, it is asked again for {left}: {why}"));
        clock.sleep_until((now + pause).min(end)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use keyrot::ManualClock;
    use keyrot_testkit::run_virtual;

    use super::*;

    /// The seconds at which it was asked, and how it ended, if the provider accepts from the n-th question on.
    fn asked_at(accepted_from: usize) -> (Vec<u64>, Result<(), String>) {
        let clock = ManualClock::default();
        run_virtual(clock.clone(), async {
            let (start, times) = (clock.now(), RefCell::new(Vec::new()));
            let ask = async || {
                times.borrow_mut().push((clock.now() - start).as_secs());
                match times.borrow().len() >= accepted_from {
                    true => Answer::Accepted,
                    false => Answer::NotYet("unknown key".to_owned()),
                }
            };
            let (asked, ended) = until_accepted(&clock, Duration::from_secs(60), ask, |_| {}).await;
            assert_eq!(asked as usize, times.borrow().len());
            (times.into_inner(), ended)
        })
    }

    #[test]
    fn a_fresh_key_is_asked_about_until_it_is_accepted() {
        assert_eq!(asked_at(1), (vec![0], Ok(())));
        assert_eq!(asked_at(5), (vec![0, 1, 3, 7, 12], Ok(())));
    }

    #[test]
    fn after_a_minute_it_is_given_up_with_a_last_question_at_its_end() {
        let (times, ended) = asked_at(usize::MAX);
        assert_eq!(times, [0, 1, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57, 60]);
        assert_eq!(ended.unwrap_err(), "unknown key (asked 15 times within 1 min)");
    }

    #[test]
    fn what_waiting_cannot_change_is_not_waited_for() {
        let clock = ManualClock::default();
        let ask = async || Answer::Refused("no credit".to_owned());
        let told = run_virtual(clock.clone(), until_accepted(&clock, Duration::from_secs(60), ask, |_| {}));
        assert_eq!(told, (1, Err("no credit".to_owned())));
    }
}
