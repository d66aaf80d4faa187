//! The command as scripts and people run it: its own process, no variable but those of the test, a folder of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it does not expect")]

mod check;
mod configuration;
mod demo;
mod explain;
mod generate;
mod guide;
mod keys;
mod leaks;
mod place;
mod stopping;
