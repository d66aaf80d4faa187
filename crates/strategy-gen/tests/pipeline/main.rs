//! The pipeline: each reply of the corpus ends where the table says, and nothing gets out of the sandbox.

#![expect(clippy::expect_used, clippy::panic, reason = "how a test fails")]

#[cfg(all(feature = "verify", target_os = "linux"))]
mod escapes;
mod finishes;
mod gate;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod interpreter;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod repairs;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod sandboxed;
mod service;
mod table;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod trial;
#[cfg(all(feature = "verify", target_os = "linux"))]
mod verdicts;
