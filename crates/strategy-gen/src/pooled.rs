//! Gemini with a pool of keys as the language model.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use keyrot_core::{Attempt, KeyRequest, RunEnd, RunError};
use keyrot_gemini::Finish as Ended;
use keyrot_gemini::{GeminiError, GenerateRequest, PooledGemini, PooledStream, StreamChunk, TokenCounts};

use crate::error::{CallCause, CallError};
use crate::model::{Blocked, Finish, LanguageModel, OnProgress, Progress, Reply};
use crate::prompt::Prompt;
use crate::report::{AttemptReport, TokenUsage};

/// A stream that breaks after its first content is begun anew so many times. The pool cannot do that, since it
/// has handed the content on; here nothing of it has left yet.
const RESTARTS: u32 = 2;

#[async_trait]
impl LanguageModel for PooledGemini {
    async fn ask(
        &self,
        prompt: &Prompt,
        mut request: KeyRequest,
        progress: OnProgress<'_>,
    ) -> Result<Reply, CallError> {
        let body = GenerateRequest::user(prompt.text.as_str())
            .system(prompt.system.as_str())
            .max_output_tokens(prompt.max_output_tokens)
            .preferred_schema(prompt.reply_schema.clone());
        let deadline = request.deadline;
        // Sends nothing: a call knows how much of its deadline is left by the pool's clock.
        let watch = self.pool().call(&request);
        let mut attempts = Vec::new();
        let mut restarts = 0;
        loop {
            let mut stream = match self.stream(&request, &body).await {
                Ok(stream) => stream,
                Err(error) => return Err(failed(attempts, error)),
            };
            let broken = match read(&mut stream, progress).await {
                Ok(whole) => {
                    attempts.extend(reports(&stream.attempts()));
                    let mut reply = reply(whole, &stream, attempts)?;
                    reply.elapsed = deadline.saturating_sub(watch.remaining());
                    return Ok(reply);
                }
                Err(broken) => broken,
            };
            request.deadline = watch.remaining();
            let transient = matches!(&broken.end, RunEnd::Failed(error) if error.is_transient());
            if !transient || restarts == RESTARTS || request.deadline.is_zero() {
                return Err(failed(attempts, broken));
            }
            attempts.extend(reports(&broken.attempts));
            restarts += 1;
        }
    }
}

async fn read(
    stream: &mut PooledStream,
    progress: OnProgress<'_>,
) -> Result<StreamChunk, RunError<GeminiError>> {
    let mut whole = StreamChunk::default();
    let mut chars = 0;
    while let Some(chunk) = stream.try_next().await? {
        chars += chunk.text.chars().count();
        whole.append(chunk);
        progress(Progress::new(chars, whole.usage.candidates_token_count));
    }
    Ok(whole)
}

fn reply(
    whole: StreamChunk,
    stream: &PooledStream,
    attempts: Vec<AttemptReport>,
) -> Result<Reply, CallError> {
    let Some(whole) = whole.into_reply() else {
        let cause = "the answer ended without a finishReason; it is incomplete";
        return Err(CallError::new(attempts, CallCause::Failed(cause.into())));
    };
    let finish = match whole.finish {
        Ended::Stop => Finish::Complete,
        Ended::MaxTokens => Finish::OutputLimit,
        Ended::Blocked { reason } if whole.prompt_blocked => Finish::Blocked(Blocked::Prompt(reason)),
        Ended::Blocked { reason } => Finish::Blocked(Blocked::Reply(reason)),
        other => Finish::Other(other.name().to_owned()),
    };
    Ok(Reply {
        text: whole.text,
        finish,
        model: stream.model().clone(),
        model_version: whole.model_version,
        key_id: stream.key_id().clone(),
        attempts,
        usage: usage(&whole.usage),
        elapsed: Duration::ZERO,
    })
}

fn failed(mut attempts: Vec<AttemptReport>, error: RunError<GeminiError>) -> CallError {
    attempts.extend(reports(&error.attempts));
    let cause = match error.end {
        // The last try's own error is the last of the attempts.
        RunEnd::Acquire { error, .. } => CallCause::Acquire(error),
        RunEnd::Failed(error) => CallCause::Failed(Box::new(error)),
        _ => CallCause::Failed("the call ended for a reason that this version does not know".into()),
    };
    CallError::new(attempts, cause)
}

fn reports(attempts: &[Attempt]) -> impl Iterator<Item = AttemptReport> {
    attempts.iter().map(AttemptReport::from)
}

fn usage(counts: &TokenCounts) -> TokenUsage {
    TokenUsage {
        input_tokens: counts.prompt_token_count.unwrap_or(0),
        output_tokens: counts.candidates_token_count.unwrap_or(0),
        thought_tokens: counts.thoughts_token_count.unwrap_or(0),
        cached_tokens: counts.cached_content_token_count.unwrap_or(0),
        total_tokens: counts.total_token_count.unwrap_or(0),
    }
}
