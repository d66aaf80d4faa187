//! Questions to the provider's record of attempts.

use gemini_sim::{Attempt, Ruling};

/// The attempts of one key, in order.
pub fn of_key<'a>(record: &'a [Attempt], id: &str) -> Vec<&'a Attempt> {
    record.iter().filter(|attempt| attempt.key_id.as_deref() == Some(id)).collect()
}

/// The attempts of one project, in order.
pub fn of_project<'a>(record: &'a [Attempt], id: &str) -> Vec<&'a Attempt> {
    record.iter().filter(|attempt| attempt.project.as_deref() == Some(id)).collect()
}

/// When the caller had the reply, in ms since 1970.
pub fn replied_ms(attempt: &Attempt) -> u64 {
    attempt.time_ms + attempt.latency_ms
}

/// How many were accepted.
pub fn accepted(record: &[Attempt]) -> usize {
    record.iter().filter(|attempt| attempt.verdict == Ruling::Accepted).count()
}

/// How many were refused with 429, whether by the books or by a script.
pub fn too_many_requests(record: &[Attempt]) -> usize {
    record.iter().filter(|attempt| attempt.status == Some(429)).count()
}
