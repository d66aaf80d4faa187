//! What the generator needs of a language model: send a prompt, get a text and what it cost.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{KeyId, KeyRequest, ModelName};

use crate::error::CallError;
use crate::prompt::Prompt;
use crate::report::{AttemptReport, TokenUsage};

/// How far a reply has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// 0 for the first reply, 1 for the first repair; set by the generator.
    pub round: u32,
    /// Characters of this reply so far. Begins again at 0 when a broken stream is begun anew.
    pub chars: usize,
    /// Output tokens of this reply as the provider counts them; `None` until it says.
    pub output_tokens: Option<u64>,
    /// The reply is there and is being tested; set by the generator.
    pub testing: bool,
}

impl Progress {
    /// So many characters, and tokens if the provider said.
    pub fn new(chars: usize, output_tokens: Option<u64>) -> Self {
        Self { chars, output_tokens, ..Self::default() }
    }
}

/// Called while a reply arrives.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Sends prompts. Keys, failover and waiting are its own affair.
#[async_trait]
pub trait LanguageModel: fmt::Debug + Send + Sync + 'static {
    /// Sends one prompt with a key that fits the request and reads the whole reply.
    ///
    /// A reply that the provider blocked or cut off is a reply, not an error.
    async fn ask(
        &self,
        prompt: &Prompt,
        request: KeyRequest,
        progress: OnProgress<'_>,
    ) -> Result<Reply, CallError>;
}

/// A finished reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The text, without the model's thoughts.
    pub text: String,
    /// How it ended.
    pub finish: Finish,
    /// The model that was called: the one that was asked for, or a fallback.
    pub model: ModelName,
    /// The model that answered, in the provider's words.
    pub model_version: Option<String>,
    /// The key that sent the call.
    pub key_id: KeyId,
    /// Each try in order, the successful one last.
    pub attempts: Vec<AttemptReport>,
    /// Tokens as the provider counted them.
    pub usage: TokenUsage,
    /// From the call of `ask` to the end of the reply, waiting included.
    pub elapsed: Duration,
}

/// How a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The model said all it had to say.
    Complete,
    /// At the limit of output tokens.
    OutputLimit,
    /// The provider would not take the prompt or not give the reply.
    Blocked(Blocked),
    /// Another reason, in the provider's word.
    Other(String),
}

/// What a provider blocked, with its word for the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The prompt; there is no reply.
    Prompt(String),
    /// The reply.
    Reply(String),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(reason) => write!(f, "the prompt ({reason})"),
            Self::Reply(reason) => write!(f, "its reply ({reason})"),
        }
    }
}
