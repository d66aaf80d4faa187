//! Those who wait for an answer, who has it, and how they are told.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{LimiterError, LimiterErrorKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Answers many questions in one call.
#[async_trait]
pub(crate) trait Together: Send + Sync + 'static {
    type Question: Send + 'static;
    type Answer: Send + 'static;

    /// The answers in the order of the questions; ends within [`limit`](Self::limit).
    async fn ask(&self, questions: &[Self::Question]) -> Result<Vec<Self::Answer>, LimiterError>;

    /// So long does a caller wait at most.
    fn limit(&self) -> Duration;

    /// What a caller is told who has waited so long.
    fn too_slow(&self) -> LimiterError;
}

/// One who waits for an answer.
pub(crate) struct Caller<T: Together> {
    pub(crate) until: Instant,
    pub(crate) tell: oneshot::Sender<Result<T::Answer, LimiterError>>,
}

/// What a call has brought, and who is to be told.
pub(crate) struct Answered<T: Together> {
    pub(crate) callers: VecDeque<Caller<T>>,
    /// So many have gone before the answer came: those of the first questions.
    pub(crate) gone: usize,
    pub(crate) answers: Result<Vec<T::Answer>, LimiterError>,
}

impl<T: Together> Answered<T> {
    pub(crate) fn tell(self) {
        // who has gone meanwhile counts as served
        match self.answers {
            Ok(answers) => {
                for (caller, answer) in self.callers.into_iter().zip(answers.into_iter().skip(self.gone)) {
                    let _ = caller.tell.send(Ok(answer));
                }
            }
            Err(error) => {
                for caller in self.callers {
                    let _ = caller.tell.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Sets it going.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

pub(crate) fn lost() -> LimiterError {
    LimiterError::new(LimiterErrorKind::Unavailable, "a question to Redis went unanswered")
}
