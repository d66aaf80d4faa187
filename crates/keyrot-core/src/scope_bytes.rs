//! The stored form of a [`ScopeRecord`]: 23 bytes, the same in SQLite and in Redis. An example with
//! names: tests/fixtures/scope_record_1.hex.

use crate::limit::LimiterError;
use crate::outcome::Reason;
use crate::record_bytes::{Writer, broken, open};
use crate::scope::ScopeRecord;

const WHAT: &str = "scope record";
const VERSION: u8 = 1;
const LENGTH: usize = 23;

const MUST_PROBE: u8 = 1;

impl ScopeRecord {
    /// The record as bytes; the first one is the version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { generation, blocked_until, blocked_at, strikes, reason, must_probe } = *self;
        let mut to = Writer::default();
        to.u8(VERSION);
        to.u8(u8::from(must_probe) * MUST_PROBE);
        to.u8(reason.map_or(0, code));
        to.u32(generation);
        to.u48(blocked_until);
        to.u48(blocked_at);
        to.u32(strikes);
        to.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. A reason that a newer keyrot added reads as
    /// [`Reason::Cooldown`]: the block holds whatever its name.
    ///
    /// # Errors
    /// [`Incompatible`](crate::LimiterErrorKind::Incompatible) for a newer version and for what no
    /// keyrot wrote. Leave such a record as it is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LimiterError> {
        let mut from = open(bytes, WHAT, VERSION)?;
        if bytes.len() != LENGTH {
            return Err(broken(WHAT, &format!("it has {} bytes, not {LENGTH}", bytes.len())));
        }
        let (flags, reason) = (from.u8(), from.u8());
        if flags & !MUST_PROBE != 0 {
            return Err(broken(WHAT, "it has unknown flags"));
        }
        Ok(Self {
            must_probe: flags & MUST_PROBE != 0,
            reason: (reason != 0).then(|| of_code(reason)),
            generation: from.u32(),
            blocked_until: from.u48(),
            blocked_at: from.u48(),
            strikes: from.u32(),
        })
    }
}

/// A code is never given to another reason. 0 is none.
fn code(reason: Reason) -> u8 {
    match reason {
        Reason::Cooldown => 1,
        Reason::DayQuota => 2,
        Reason::HostSuspected => 3,
        Reason::Inactive => 4,
        Reason::Pace => 5,
        Reason::KeyRejected => 6,
        Reason::LimitZero => 7,
        Reason::ModelMissing => 8,
        Reason::ModelOverloaded => 9,
        Reason::NoQuota => 10,
        Reason::OutOfCredit => 11,
        Reason::Probing => 12,
        Reason::ProjectRejected => 13,
        Reason::MinuteRequests => 14,
        Reason::MinuteTokens => 15,
        Reason::SecretUnavailable => 16,
        Reason::TooLarge => 17,
        Reason::UnknownProvider => 18,
        Reason::WeightZero => 19,
    }
}

fn of_code(code: u8) -> Reason {
    match code {
        2 => Reason::DayQuota,
        3 => Reason::HostSuspected,
        4 => Reason::Inactive,
        5 => Reason::Pace,
        6 => Reason::KeyRejected,
        7 => Reason::LimitZero,
        8 => Reason::ModelMissing,
        9 => Reason::ModelOverloaded,
        10 => Reason::NoQuota,
        11 => Reason::OutOfCredit,
        12 => Reason::Probing,
        13 => Reason::ProjectRejected,
        14 => Reason::MinuteRequests,
        15 => Reason::MinuteTokens,
        16 => Reason::SecretUnavailable,
        17 => Reason::TooLarge,
        18 => Reason::UnknownProvider,
        19 => Reason::WeightZero,
        _ => Reason::Cooldown,
    }
}
