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
        to.u8(reason.map_or(0, Reason::code));
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
            reason: (reason != 0).then(|| Reason::of_code(reason)),
            generation: from.u32(),
            blocked_until: from.u48(),
            blocked_at: from.u48(),
            strikes: from.u32(),
        })
    }
}

impl Reason {
    /// Its number in stored records. A number is never given to another reason; 0 is none.
    pub fn code(self) -> u8 {
        match self {
            Self::Cooldown => 1,
            Self::DayQuota => 2,
            Self::HostSuspected => 3,
            Self::Inactive => 4,
            Self::Pace => 5,
            Self::KeyRejected => 6,
            Self::LimitZero => 7,
            Self::ModelMissing => 8,
            Self::ModelOverloaded => 9,
            Self::NoQuota => 10,
            Self::OutOfCredit => 11,
            Self::Probing => 12,
            Self::ProjectRejected => 13,
            Self::MinuteRequests => 14,
            Self::MinuteTokens => 15,
            Self::SecretUnavailable => 16,
            Self::TooLarge => 17,
            Self::UnknownProvider => 18,
            Self::WeightZero => 19,
        }
    }

    /// The reason of this number; one that a newer keyrot added reads as [`Cooldown`](Self::Cooldown).
    pub fn of_code(code: u8) -> Self {
        match code {
            2 => Self::DayQuota,
            3 => Self::HostSuspected,
            4 => Self::Inactive,
            5 => Self::Pace,
            6 => Self::KeyRejected,
            7 => Self::LimitZero,
            8 => Self::ModelMissing,
            9 => Self::ModelOverloaded,
            10 => Self::NoQuota,
            11 => Self::OutOfCredit,
            12 => Self::Probing,
            13 => Self::ProjectRejected,
            14 => Self::MinuteRequests,
            15 => Self::MinuteTokens,
            16 => Self::SecretUnavailable,
            17 => Self::TooLarge,
            18 => Self::UnknownProvider,
            19 => Self::WeightZero,
            _ => Self::Cooldown,
        }
    }
}
