//! A Gemini lookalike with the real quota rules and scripted faults, for tests, demos and capacity planning.
//!
//! [`Engine`] is the service without IO and without a clock: virtual-time tests call it directly. [`SimServer`]
//! puts it on a loopback port, with real time or a multiple of it.

mod answer;
mod attempt;
mod bodies;
mod call;
pub mod catalog;
mod check;
mod config;
mod control;
mod engine;
mod fault;
mod latency;
mod lists;
mod pacific;
mod quota;
mod request;
mod routes;
mod schema;
mod sentence;
mod server;
mod sim_clock;
mod state;
mod strategy;
mod stream;
mod trouble;
mod verdict;
mod window;
mod wire;

pub use answer::{Answer, Break, Usage};
pub use attempt::{Attempt, Ruling};
pub use bodies::Refusal;
pub use call::{Call, Credential, Operation, tokens};
pub use catalog::Model;
pub use check::ConfigError;
pub use config::{Config, Key, Limits, Project, Secret, Tier};
pub use engine::Engine;
pub use fault::{Fault, FaultKind};
pub use latency::Latency;
pub use pacific::PacificDay;
pub use server::{ServerOptions, SimServer, StartError};
pub use state::{FaultState, QuotaState, State};
pub use verdict::{Reply, Verdict};
pub use window::Window;
