//! What is tried again, and how often.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use aws_sdk_secretsmanager::config::interceptors::InterceptorContext;
use aws_sdk_secretsmanager::config::retry::{ClassifyRetry, RetryAction, RetryConfig};

/// The pause before the second try is at most this; it doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Tries with pauses between them that leave time for AWS's answer.
pub(crate) fn within(total: Duration) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(attempts(total)).with_initial_backoff(FIRST_PAUSE)
}

/// How often a call is tried, so that the pauses take at most 60 % of the time that it has in all: what it says at last
/// is then AWS's answer, not that time ran out.
fn attempts(total: Duration) -> u32 {
    let room = total * 3 / 5;
    let mut pauses = FIRST_PAUSE;
    let mut attempts = 1;
    while pauses <= room && attempts < 6 {
        attempts += 1;
        pauses = pauses * 2 + FIRST_PAUSE;
    }
    attempts
}

/// What the SDK tries again by itself although it stays as it is for longer than the pauses: nobody listens there, or a
/// certificate is not trusted. The keys of a pool stand in for each other, so it is better to be told at once.
#[derive(Debug)]
pub(crate) struct ToldAtOnce;

impl ClassifyRetry for ToldAtOnce {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let mut cause = error.as_connector_error().map(|error| error as &(dyn Error + 'static));
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(kind, Some(ErrorKind::ConnectionRefused | ErrorKind::InvalidData)) {
                return RetryAction::RetryForbidden;
            }
            cause = error.source();
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "told at once"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_fit_into_the_time() {
        for (millis, expected) in [(5000, 5), (60_000, 6), (1000, 3), (500, 2), (100, 1)] {
            assert_eq!(attempts(Duration::from_millis(millis)), expected, "{millis}");
        }
    }
}
