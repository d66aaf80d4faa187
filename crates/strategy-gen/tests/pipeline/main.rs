//! The pipeline: each reply of the corpus ends where the table says, and nothing gets out of the sandbox.

#![expect(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod gate;
mod table;
