//! Core of keyrot: keys, quota accounting, cooldowns and the pool. No network, no SDK; time,
//! randomness and configuration are arguments.

mod acquire;
mod any_model;
pub mod books;
mod builder;
mod cached;
mod cached_slot;
mod call;
mod clock;
mod concurrent;
mod cooldown;
mod counter;
mod day;
mod dotenv;
mod dotenv_edit;
mod error;
mod evidence;
mod health;
mod index;
mod issuer;
mod key;
mod keyset;
mod keyset_edit;
mod keyset_entry;
mod keyset_read;
mod lease;
mod limit;
mod limiter_error;
mod local_limiter;
mod map;
mod memory_store;
mod outcome;
mod pace;
mod plan;
mod pool;
mod preload;
mod probe;
mod proof;
mod quota;
mod quota_bytes;
mod record_bytes;
mod renewal;
mod request;
mod roster;
mod scope;
mod scope_bytes;
mod scope_name;
mod secret;
mod secret_error;
mod settlement;
mod settling;
mod slots;
mod state;
mod text_file;
mod vars;
mod verdict;
mod wait;
mod window;

pub use secrecy;

pub use crate::builder::KeyPoolBuilder;
pub use crate::cached::SecretCache;
pub use crate::cached_slot::VersionedSecret;
pub use crate::call::{Call, Done};
pub use crate::clock::{Clock, ManualClock, Sleep, SystemClock};
pub use crate::cooldown::Backoff;
pub use crate::counter::{CounterRecord, Tally};
pub use crate::day::pacific_day_end;
pub use crate::dotenv::parse_dotenv;
pub use crate::dotenv_edit::set_in_dotenv;
pub use crate::error::{AcquireError, Attempt, ConfigError, Exhausted, NO_KEYS, RunEnd, RunError};
pub use crate::health::{Blocked, Explanation, KeyHealth};
pub use crate::key::{KeyId, KeyMetadata, Limits, ModelName, ProjectId};
pub use crate::keyset::KeySet;
pub use crate::lease::{ActiveLease, KeyLease, LeaseExpired};
pub use crate::limit::{
    Ask, Candidate, Disposition, Grant, Group, GroupUsage, LimiterError, LimiterErrorKind, LimiterMode,
    Millis, PastCalls, RateLimiter, Refusal, Reservation, Reserved, ScopeChange, SettleBatch, Settled,
    Settlement, Snapshot, Span, Verdict,
};
pub use crate::local_limiter::LocalLimiter;
pub use crate::memory_store::MemoryStore;
pub use crate::outcome::{Blame, Classify, Effect, LearnedLimit, Outcome, Quota, Reason, Scope, Usage};
pub use crate::plan::{Choice, Refusal as PlanRefusal};
pub use crate::pool::KeyPool;
pub use crate::quota::{Admitted, Denied, QuotaRecord};
pub use crate::request::KeyRequest;
pub use crate::scope::ScopeRecord;
pub use crate::secret::{SecretStore, SecretWriter, StoreTimeouts};
pub use crate::secret_error::{SecretError, SecretErrorKind};
pub use crate::state::PoolState;
pub use crate::text_file::update_file;
pub use crate::vars::{Vars, parse_duration};
