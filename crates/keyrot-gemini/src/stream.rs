//! An answer that arrives piece by piece, and is worth nothing without its end.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::{self, TryStreamExt};
use keyrot_core::secrecy::{ExposeSecret, SecretString};

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
}

impl Reading {
    async fn next(&mut self) -> Result<Option<StreamChunk>, GeminiError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if let Some(chunk) = self.read_item(&item)? {
                    self.finished |= chunk.finish.is_some();
                    return Ok(Some(chunk));
                }
                continue;
            }
            if self.sse.is_none() {
                return if self.finished { Ok(None) } else { Err(GeminiError::incomplete()) };
            }
            self.read_more().await?;
        }
    }

    /// Waits for bytes; at the end of the connection hands on what is left.
    async fn read_more(&mut self) -> Result<(), GeminiError> {
        let limits = self.budget.limits;
        let (limit, waited) = match self.received {
            0 => (limits.first_byte, Waited::FirstByte),
            _ => (limits.chunk, Waited::NextChunk),
        };
        let secret = self.secret.expose_secret();
        let bytes = match self.budget.wait(limit, waited, self.reply.chunk()).await {
            Ok(Ok(bytes)) => bytes,
            // The answer is complete: how the connection ends does not matter any more.
            _ if self.finished => None,
            Ok(Err(error)) => return Err(GeminiError::transport(error, secret)),
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
            let items = sse.push(&bytes).map_err(|error| GeminiError::too_large(&error.to_string()))?;
            self.ready.extend(items);
        }
        Ok(())
    }

    fn read_item(&mut self, item: &SseItem) -> Result<Option<StreamChunk>, GeminiError> {
        let status = self.reply.status().as_u16();
        let secret = self.secret.expose_secret();
        let text = match item {
            SseItem::Data(text) if matches!(text.trim(), "" | "[DONE]") => return Ok(None),
            SseItem::Data(text) | SseItem::Raw(text) => text,
        };
        // Without alt=sse, which a gateway may drop, the chunks come as one array.
        let wire = match serde_json::from_str::<Vec<serde_json::Value>>(text) {
            Ok(items) => {
                let mut sum: Option<StreamChunk> = None;
                for item in items {
                    let chunk =
                        StreamChunk::from(decode::<WireReply>(status, item.to_string().as_bytes(), secret)?);
                    match &mut sum {
                        Some(sum) => sum.append(chunk),
                        None => sum = Some(chunk),
                    }
                }
                return Ok(sum);
            }
            Err(_) => decode::<WireReply>(status, text.as_bytes(), secret),
        };
        match wire {
            Ok(wire) => Ok(Some(wire.into())),
            // JSON that the connection's end cut short: the answer is incomplete, unless its end was seen.
            Err(error) if self.sse.is_none() && error.kind() == crate::GeminiErrorKind::Malformed => {
                if self.finished { Ok(None) } else { Err(GeminiError::incomplete()) }
            }
            Err(error) => Err(error),
        }
    }
}
