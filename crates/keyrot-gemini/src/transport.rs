//! One exchange over HTTP: the time it may take, and replies read up to a bound.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::client::Timeouts;
use crate::error::{GeminiError, Waited};

/// More of an error body is not read.
const LONGEST_ERROR: usize = 64 * 1024;
/// Longest reply: 65 536 output tokens are far below it.
pub(crate) const LONGEST_REPLY: usize = 32 * 1024 * 1024;

/// The time of one call.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) limits: Timeouts,
    total: Duration,
    end: Instant,
    /// Whose limit the end is.
    whose: Waited,
}

impl Budget {
    /// Starts now. `deadline` is the caller's, if he has one.
    pub(crate) fn start(limits: Timeouts, deadline: Option<Duration>) -> Self {
        let (total, whose) = match deadline {
            Some(deadline) if deadline < limits.total => (deadline, Waited::Caller),
            _ => (limits.total, Waited::Total),
        };
        Self { limits, total, end: after(total), whose }
    }

    /// Whole seconds for `X-Server-Timeout`, at least one.
    pub(crate) fn server_seconds(&self) -> u64 {
        self.total.as_secs() + u64::from(self.total.subsec_nanos() > 0)
    }

    /// Waits for `work`, at most `limit` and never beyond the end of the call.
    pub(crate) async fn wait<W: Future>(
        &self,
        limit: Duration,
        waited: Waited,
        work: W,
    ) -> Result<W::Output, GeminiError> {
        let own = after(limit);
        let (at, waited, limit) =
            if self.end <= own { (self.end, self.whose, self.total) } else { (own, waited, limit) };
        timeout_at(at, work).await.map_err(|_| GeminiError::timeout(waited, limit))
    }
}

/// A time that far from now, or one that never comes.
fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + Duration::from_secs(10 * 366 * 86_400))
}

/// Sends, and turns a status other than 2xx into the error that its body tells.
pub(crate) async fn send(
    request: reqwest::RequestBuilder,
    budget: &Budget,
    secret: &str,
) -> Result<reqwest::Response, GeminiError> {
    let reply = budget.wait(budget.limits.first_byte, Waited::FirstByte, request.send()).await?;
    let mut reply = reply.map_err(|error| GeminiError::transport(error, secret))?;
    let status = reply.status();
    tracing::debug!(status = status.as_u16(), "reply of the Gemini API");
    if status.is_success() {
        return Ok(reply);
    }
    let header = reply.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    // What can be had of the body is enough: the status alone has a meaning too.
    while body.len() < LONGEST_ERROR
        && let Ok(Ok(Some(bytes))) = budget.wait(budget.limits.chunk, Waited::NextChunk, reply.chunk()).await
    {
        body.extend_from_slice(&bytes);
    }
    body.truncate(LONGEST_ERROR);
    Err(GeminiError::refused(status.as_u16(), header.as_deref(), &String::from_utf8_lossy(&body), secret))
}

/// The whole body of a reply.
pub(crate) async fn read_all(
    reply: &mut reqwest::Response,
    budget: &Budget,
    secret: &str,
) -> Result<Vec<u8>, GeminiError> {
    let mut body = Vec::new();
    loop {
        let bytes = budget.wait(budget.limits.chunk, Waited::NextChunk, reply.chunk()).await?;
        let Some(bytes) = bytes.map_err(|error| GeminiError::transport(error, secret))? else {
            return Ok(body);
        };
        if body.len() + bytes.len() > LONGEST_REPLY {
            return Err(GeminiError::too_large("the reply is longer than 32 MiB"));
        }
        body.extend_from_slice(&bytes);
    }
}
