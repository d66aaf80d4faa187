//! The command as scripts and people run it: its own process, no variable but those of the test, a folder of its own.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod aws;
mod azure;
mod batch;
mod check;
mod configuration;
mod confined;
mod documented;
mod explain;
mod generate;
mod guide;
mod improving;
mod interrupting;
mod keys;
mod leaks;
mod place;
mod redis;
mod report;
mod rotating;
mod secrets;
mod setting_up;
mod sharing;
mod stopping;
mod stores;
mod terminal;
mod typing;
mod vault;
mod verified;
