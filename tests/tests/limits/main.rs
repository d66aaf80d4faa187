//! Limits in a server that many processes share, with a pool in front.
#![expect(clippy::panic, reason = "a test ends at what it does not expect")]

mod redis;
