//! The client with a pool of keys: each call takes the key that can serve it, moves on when that fails, and
//! reports to the key that it used.

use keyrot_core::{ActiveLease, Call, Classify, Done, KeyPool, KeyRequest, RunError};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::client::Gemini;
use crate::error::GeminiError;
use crate::pooled_stream::{First, PooledStream};
use crate::reply::{GenerateReply, TokenCounts};
use crate::request::GenerateRequest;
use crate::schema::SchemaSupport;

/// A pool and a client. Clones share both.
///
/// ```no_run
/// use keyrot_core::{KeyPool, KeyRequest};
/// use keyrot_gemini::{Gemini, GenerateRequest, PooledGemini};
///
/// # async fn run(pool: KeyPool) -> Result<(), Box<dyn std::error::Error>> {
/// let gemini = PooledGemini::new(pool, Gemini::builder().build()?);
/// let body = GenerateRequest::user("Hello");
/// let request = KeyRequest::model("gemini-flash-latest").tokens(body.estimated_input_tokens());
/// let done = gemini.generate(&request, &body).await?;
/// println!("{} (after {} attempts)", done.value.text, done.attempts.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PooledGemini {
    pool: KeyPool,
    client: Gemini,
    schemas: SchemaSupport,
}

impl PooledGemini {
    /// Calls of `client` with the keys of `pool`.
    pub fn new(pool: KeyPool, client: Gemini) -> Self {
        Self { pool, client, schemas: SchemaSupport::default() }
    }

    /// The pool.
    pub fn pool(&self) -> &KeyPool {
        &self.pool
    }

    /// The client.
    pub fn client(&self) -> &Gemini {
        &self.client
    }

    /// A whole answer. The deadline of `request` holds for everything, waiting for a key included.
    ///
    /// # Errors
    /// The last error, or that no key can be had; with every attempt's cause.
    pub async fn generate(
        &self,
        request: &KeyRequest,
        body: &GenerateRequest,
    ) -> Result<Done<GenerateReply>, RunError<GeminiError>> {
        // Not KeyPool::run: a future with an async closure that borrows cannot be spawned on other threads.
        let mut call = self.pool.call(request);
        let mut last = None;
        loop {
            let lease = match call.next().await {
                Ok(lease) => lease,
                Err(error) => return Err(call.give_up(error, last)),
            };
            let span = attempt_span("generate_content", &lease);
            let client = self.client.within(call.remaining());
            let sent = self.schemas.fit(body, lease.model());
            let attempt = client.generate(lease.secret(), lease.model(), &sent);
            match attempt.instrument(span.clone()).await {
                Ok(reply) => {
                    record(&span, reply.model_version.as_deref(), &reply.usage);
                    let attempts = call.succeeded(lease, reply.usage.settled()).await;
                    return Ok(Done::new(reply, attempts));
                }
                Err(error) => {
                    if !self.goes_on(&mut call, lease, &error, &sent).await {
                        return Err(call.fail(error));
                    }
                    last = Some(error);
                }
            }
        }
    }

    /// An answer piece by piece. Moves from key to key until the first content has come, and returns then; what
    /// breaks after that is an error in the stream, for a piece that was handed on cannot be taken back. While another
    /// key could take over, a server that does not answer is given up after two thirds of the time ([`Call::patience`]).
    ///
    /// # Errors
    /// As [`generate`](Self::generate), before the first content.
    pub async fn stream(
        &self,
        request: &KeyRequest,
        body: &GenerateRequest,
    ) -> Result<PooledStream, RunError<GeminiError>> {
        let mut call = self.pool.call(request);
        let mut last = None;
        loop {
            let mut lease = match call.next().await {
                Ok(lease) => lease,
                Err(error) => return Err(call.give_up(error, last)),
            };
            let span = attempt_span("stream_generate_content", &lease);
            let sent = self.schemas.fit(body, lease.model());
            let client = self.client.within(call.remaining()).patient_for(call.patience(&lease));
            match first_content(&client, &lease, &sent).instrument(span.clone()).await {
                Ok(first) => {
                    lease.first_content(first.chunk.usage.settled()).await;
                    return Ok(PooledStream::new(call, lease, first, span));
                }
                Err(error) => {
                    if !self.goes_on(&mut call, lease, &error, &sent).await {
                        return Err(call.fail(error));
                    }
                    last = Some(error);
                }
            }
        }
    }

    /// Books the failure. True if another attempt may help: with another key, or without the schema.
    async fn goes_on(
        &self,
        call: &mut Call,
        lease: ActiveLease,
        error: &GeminiError,
        sent: &GenerateRequest,
    ) -> bool {
        let plainly = self.schemas.was_refused(sent, lease.model(), error);
        call.failed(lease, &error.outcome()).await || plainly
    }
}

/// Opens the stream and reads on until there is something to hand on.
async fn first_content(
    client: &Gemini,
    lease: &ActiveLease,
    body: &GenerateRequest,
) -> Result<First, GeminiError> {
    let stream = client.stream(lease.secret(), lease.model(), body).await?;
    First::of(stream).await
}

/// One try of a call, with OpenTelemetry's names where it has them. Nothing of the prompt or the answer is in it.
fn attempt_span(operation: &'static str, lease: &ActiveLease) -> Span {
    tracing::debug_span!(
        "keyrot.attempt",
        key_id = lease.key_id().as_str(),
        project = lease.project().as_str(),
        gen_ai.provider.name = "gcp.gemini",
        gen_ai.operation.name = operation,
        gen_ai.request.model = lease.model().as_str(),
        gen_ai.response.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
    )
}

/// Adds to the span what the reply says.
pub(crate) fn record(span: &Span, model_version: Option<&str>, usage: &TokenCounts) {
    span.record("gen_ai.response.model", model_version);
    span.record("gen_ai.usage.input_tokens", usage.prompt_token_count);
    span.record("gen_ai.usage.output_tokens", usage.candidates_token_count);
}
