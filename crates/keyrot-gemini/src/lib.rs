//! Gemini for keyrot: a client of the native API that takes the key for each call, and the one function that
//! turns any reply into a verdict on key, project, model, service or caller.
//!
//! ```no_run
//! use keyrot_core::secrecy::SecretString;
//! use keyrot_gemini::{Gemini, GenerateRequest};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let gemini = Gemini::builder().build()?;
//! let secret = SecretString::from("the key");
//! let reply = gemini.generate(&secret, &"gemini-flash-latest".into(), &GenerateRequest::user("Hello")).await?;
//! println!("{} ({})", reply.text, reply.finish.name());
//! # Ok(())
//! # }
//! ```
//!
//! [`PooledGemini`] is the same with a pool of keys instead of one. With another HTTP client, hand status and body to [`classify`] and report the outcome to the lease.

mod builder;
mod classify;
mod client;
mod envelope;
mod error;
mod models;
mod pooled;
mod pooled_stream;
mod quota;
mod redact;
mod reply;
mod request;
mod schema;
mod sse;
mod stream;
mod transport;

pub use crate::builder::{DEFAULT_BASE_URL, GeminiBuilder};
pub use crate::classify::classify;
pub use crate::client::Gemini;
pub use crate::error::{GeminiError, GeminiErrorKind};
pub use crate::models::{ModelInfo, TokenTotal};
pub use crate::pooled::PooledGemini;
pub use crate::pooled_stream::PooledStream;
pub use crate::redact::{MASK, redact, redact_secret};
pub use crate::reply::{Finish, GenerateReply, StreamChunk, TokenCounts};
pub use crate::request::GenerateRequest;
pub use crate::sse::{SseItem, SseReader, SseTooLong};
pub use crate::stream::GenerateStream;
