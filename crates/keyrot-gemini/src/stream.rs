//! An answer that arrives piece by piece, and is worth nothing without its end.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::{self, TryStreamExt};
use keyrot_core::secrecy::{ExposeSecret, SecretString};

use serde_json::Value;

use crate::client::decode;
use crate::error::{GeminiError, Waited};
use crate::reply::{GenerateReply, StreamChunk, WireReply};
use crate::sse::{SseItem, SseReader};
use crate::transport::{Budget, LONGEST_REPLY};

/// Longest single event.
const LONGEST_EVENT: usize = 8 * 1024 * 1024;

/// The pieces of an answer. Ends with an error unless a `finishReason` was seen; dropping it ends the call.
pub struct GenerateStream {
    chunks: Pin<Box<dyn Stream<Item = Result<StreamChunk, GeminiError>> + Send>>,
}

impl fmt::Debug for GenerateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateStream").finish_non_exhaustive()
    }
}

impl Stream for GenerateStream {
    type Item = Result<StreamChunk, GeminiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

impl GenerateStream {
    pub(crate) fn new(reply: reqwest::Response, budget: Budget, secret: SecretString) -> Self {
        let reading = Reading {
            reply,
            budget,
            secret,
            sse: Some(SseReader::new(LONGEST_EVENT)),
            ready: VecDeque::new(),
            received: 0,
            finished: false,
            broken: None,
        };
        // After an error there is nothing more to come.
        let chunks = stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Self { chunks: Box::pin(chunks) }
    }

    /// Waits for the end and gives the whole answer.
    pub async fn collect_reply(mut self) -> Result<GenerateReply, GeminiError> {
        let mut sum = StreamChunk::default();
        while let Some(chunk) = self.try_next().await? {
            sum.append(chunk);
        }
        sum.into_reply().ok_or_else(GeminiError::incomplete)
    }
}

struct Reading {
    reply: reqwest::Response,
    budget: Budget,
    secret: SecretString,
    /// `None` when the connection has ended.
    sse: Option<SseReader>,
    ready: VecDeque<SseItem>,
    received: usize,
    finished: bool,
    /// How the connection broke, if it did.
    broken: Option<GeminiError>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<StreamChunk>, GeminiError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if let Some(chunk) = self.read_item(&item)? {
                    self.finished |= chunk.finish.is_some();
                    return Ok(Some(chunk));
                }
            } else if self.sse.is_some() {
                self.read_more().await?;
            } else if self.finished {
                return Ok(None); // how the connection ended after that does not matter
            } else {
                return Err(self.broken.take().unwrap_or_else(GeminiError::incomplete));
            }
        }
    }

    /// Waits for bytes; when the connection has ended, or broken, hands on what is left.
    async fn read_more(&mut self) -> Result<(), GeminiError> {
        let limits = self.budget.limits;
        let (limit, waited) = match self.received {
            0 => (limits.first_byte, Waited::FirstByte),
            _ => (limits.chunk, Waited::NextChunk),
        };
        let bytes = match self.budget.wait(limit, waited, self.reply.chunk()).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                self.broken = Some(GeminiError::transport(error, self.secret.expose_secret()));
                None
            }
            Err(_) if self.finished => None,
            Err(error) => return Err(error),
        };
        let Some(bytes) = bytes else {
            self.ready.extend(self.sse.take().map(SseReader::finish).unwrap_or_default());
            return Ok(());
        };
        self.received += bytes.len();
        if self.received > LONGEST_REPLY {
            return Err(GeminiError::too_large("the stream is longer than 32 MiB"));
        }
        if let Some(sse) = &mut self.sse {
            let items = sse.push(&bytes).map_err(|error| GeminiError::too_large(error.to_string()))?;
            self.ready.extend(items);
        }
        Ok(())
    }

    fn read_item(&self, item: &SseItem) -> Result<Option<StreamChunk>, GeminiError> {
        let text = match item {
            SseItem::Data(text) if matches!(text.trim(), "" | "[DONE]") => return Ok(None),
            SseItem::Data(text) | SseItem::Raw(text) => text,
        };
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            let cut_short = self.sse.is_none() && (self.finished || text.starts_with(['{', '[']));
            return if cut_short { Ok(None) } else { Err(self.malformed(text)) };
        };
        match value {
            // Without alt=sse, which a gateway may drop, all chunks come as one array.
            Value::Array(items) => {
                let mut sum: Option<StreamChunk> = None;
                for item in items {
                    let chunk = self.read_chunk(item)?;
                    match &mut sum {
                        Some(sum) => sum.append(chunk),
                        None => sum = Some(chunk),
                    }
                }
                Ok(sum)
            }
            value => self.read_chunk(value).map(Some),
        }
    }

    fn read_chunk(&self, value: Value) -> Result<StreamChunk, GeminiError> {
        decode::<WireReply>(self.reply.status().as_u16(), value, self.secret.expose_secret())
            .map(StreamChunk::from)
    }

    fn malformed(&self, text: &str) -> GeminiError {
        GeminiError::malformed(self.reply.status().as_u16(), text, self.secret.expose_secret())
    }
}
