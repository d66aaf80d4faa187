//! A stream that holds its key until the answer's end, and reports then.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use keyrot_core::{ActiveLease, Attempt, Call, Classify, KeyId, ModelName, RunError};
use tracing::Span;

use crate::error::GeminiError;
use crate::pooled::record;
use crate::reply::StreamChunk;
use crate::stream::GenerateStream;

/// The pieces of an answer, with the key that serves it.
///
/// The key's success counts when the answer's end has come. Dropping the stream before that ends the call and
/// blames nobody. An error is the last item; without one the answer is complete:
/// [`StreamChunk::append`] and [`StreamChunk::into_reply`] make one reply of the pieces.
pub struct PooledStream {
    chunks: Pin<Box<dyn Stream<Item = Result<StreamChunk, RunError<GeminiError>>> + Send>>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    key_id: KeyId,
    model: ModelName,
}

impl fmt::Debug for PooledStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledStream")
            .field("key_id", &self.key_id)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Stream for PooledStream {
    type Item = Result<StreamChunk, RunError<GeminiError>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

impl PooledStream {
    pub(crate) fn new(call: Call, lease: ActiveLease, first: First, span: Span) -> Self {
        let attempts = Arc::new(Mutex::new(call.attempts().to_vec()));
        let (key_id, model) = (lease.key_id().clone(), lease.model().clone());
        let serving = Serving {
            held: Some((call, lease)),
            first: Some(first.chunk),
            rest: first.rest,
            sum: StreamChunk::default(),
            span,
            attempts: Arc::clone(&attempts),
        };
        let chunks = stream::unfold(Some(serving), async |serving| serving?.next().await);
        Self { chunks: Box::pin(chunks), attempts, key_id, model }
    }

    /// The key that serves the answer.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The model that was asked; the chunks name the one that really answers.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// Every try so far: those that failed before the first content, and this one when it has ended.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stream that has begun to answer.
pub(crate) struct First {
    /// All up to the first text, or to the end of an answer without any.
    pub(crate) chunk: StreamChunk,
    rest: GenerateStream,
}

impl First {
    pub(crate) async fn of(mut rest: GenerateStream) -> Result<Self, GeminiError> {
        let mut chunk = StreamChunk::default();
        while chunk.text.is_empty() && chunk.finish.is_none() {
            chunk.append(rest.try_next().await?.ok_or_else(GeminiError::incomplete)?);
        }
        Ok(Self { chunk, rest })
    }
}

struct Serving {
    /// Until it is reported.
    held: Option<(Call, ActiveLease)>,
    first: Option<StreamChunk>,
    rest: GenerateStream,
    /// What came so far, without its text.
    sum: StreamChunk,
    span: Span,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

type Step = Option<(Result<StreamChunk, RunError<GeminiError>>, Option<Serving>)>;

impl Serving {
    async fn next(mut self) -> Step {
        let chunk = match self.first.take() {
            Some(first) => Ok(first),
            None => self.rest.next().await?,
        };
        match chunk {
            Ok(chunk) => {
                self.sum.append(StreamChunk { text: String::new(), ..chunk.clone() });
                if self.sum.finish.is_some() {
                    self.succeeded().await;
                }
                Some((Ok(chunk), Some(self)))
            }
            Err(error) => {
                let (mut call, lease) = self.held.take()?; // after the end nothing that breaks matters
                call.failed(lease, &error.outcome()).await;
                self.keep(call.attempts().to_vec());
                Some((Err(call.fail(error)), None))
            }
        }
    }

    async fn succeeded(&mut self) {
        if let Some((call, lease)) = self.held.take() {
            record(&self.span, self.sum.model_version.as_deref(), &self.sum.usage);
            let attempts = call.succeeded(lease, self.sum.usage.settled()).await;
            self.keep(attempts);
        }
    }

    fn keep(&self, attempts: Vec<Attempt>) {
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner) = attempts;
    }
}
