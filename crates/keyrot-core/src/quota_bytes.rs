//! The stored form of a [`QuotaRecord`]: the same bytes in SQLite and in Redis.
//!
//! A header of 113 bytes, then 12 bytes for each cell, oldest first. An example with names:
//! tests/fixtures/quota_record_1.hex.

use crate::limit::LimiterError;
use crate::pace::{Pace, most_steps_of_all};
use crate::proof::{Proof, Slot};
use crate::quota::{Learned, LearnedLimits, QuotaRecord};
use crate::record_bytes::{LARGEST, Reader, Writer, broken, open};
use crate::window::{Cell, Window};

const WHAT: &str = "quota record";
const VERSION: u8 = 1;
const HEADER: usize = 113;
const CELL: usize = 12;
/// Far more than any load makes.
const MOST_CELLS: usize = 4096;

const DAY_GONE: u8 = 1;
const PROVEN: u8 = 2;

impl QuotaRecord {
    /// The record as bytes; the first one is the version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { last_now, ahead, window, day_end, day_count, day_gone, proof, learned, pace } = self;
        let mut to = Writer(Vec::with_capacity(HEADER + CELL * window.cells.len()));
        to.u8(VERSION);
        to.u8((u8::from(*day_gone) * DAY_GONE) | (u8::from(proof.proven) * PROVEN));
        to.u48(*last_now);
        to.u48(*ahead);
        to.u48(window.begun);
        to.u32(window.requests);
        to.u48(window.tokens);
        to.u48(*day_end);
        to.u32(*day_count);
        to.u48(proof.doubted_at);
        for slot in proof.slots {
            to.u48(slot.started);
            to.u16(slot.lasts);
        }
        to.u32(learned.rpm.value);
        to.u48(learned.rpm.until);
        to.u48(learned.tpm.value);
        to.u48(learned.tpm.until);
        to.u32(learned.rpd.value);
        to.u48(learned.rpd.until);
        to.u8(pace.steps);
        to.u48(pace.stepped_at);
        to.u64(pace.due_us);
        to.u32(pace.interval_us);
        for cell in &window.cells {
            to.u48(cell.last);
            to.u16(cell.requests);
            to.u32(cell.tokens);
        }
        to.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Incompatible`](crate::LimiterErrorKind::Incompatible) for a newer version and for what no
    /// keyrot wrote. Leave such a record as it is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LimiterError> {
        let mut from = open(bytes, WHAT, VERSION)?;
        let cells = bytes.len().checked_sub(HEADER).filter(|cells| cells % CELL == 0);
        let cells = cells.map(|cells| cells / CELL).filter(|cells| *cells <= MOST_CELLS);
        let cells = cells.ok_or_else(|| broken(WHAT, &format!("it has {} bytes", bytes.len())))?;
        let flags = from.u8();
        let record = Self {
            last_now: from.u48(),
            ahead: from.u48(),
            window: Window {
                begun: from.u48(),
                requests: from.u32(),
                tokens: from.u48(),
                ..Window::default()
            },
            day_end: from.u48(),
            day_count: from.u32(),
            day_gone: flags & DAY_GONE != 0,
            proof: Proof {
                proven: flags & PROVEN != 0,
                doubted_at: from.u48(),
                slots: [slot(&mut from), slot(&mut from)],
            },
            learned: LearnedLimits {
                rpm: Learned { value: from.u32(), until: from.u48() },
                tpm: Learned { value: from.u48(), until: from.u48() },
                rpd: Learned { value: from.u32(), until: from.u48() },
            },
            pace: Pace {
                steps: from.u8(),
                stepped_at: from.u48(),
                due_us: from.u64(),
                interval_us: from.u32(),
            },
        };
        let cells =
            (0..cells).map(|_| Cell { last: from.u48(), requests: from.u16(), tokens: from.u32() }).collect();
        let record = Self { window: Window { cells, ..record.window }, ..record };
        match record.contradiction(flags) {
            None => Ok(record),
            Some(why) => Err(broken(WHAT, why)),
        }
    }

    /// What cannot be true of a record that was written by these rules.
    fn contradiction(&self, flags: u8) -> Option<&'static str> {
        let Self { window, pace, .. } = self;
        let requests: u64 = window.cells.iter().map(|cell| u64::from(cell.requests)).sum();
        let tokens: u64 = window.cells.iter().map(|cell| u64::from(cell.tokens)).sum();
        let rules = [
            (flags & !(DAY_GONE | PROVEN) == 0, "it has unknown flags"),
            (self.ahead <= self.last_now, "its time is further ahead than it is late"),
            (requests == u64::from(window.requests), "its requests are not those of its cells"),
            (tokens == window.tokens, "its tokens are not those of its cells"),
            (window.cells.iter().is_sorted_by_key(|cell| cell.last), "its cells are not in order"),
            (window.last().is_none_or(|last| window.begun <= last), "its last cell ends before it begins"),
            (window.last().is_none_or(|last| last <= self.last_now), "it holds calls of the future"),
            (pace.steps <= most_steps_of_all(), "its pace has too many steps"),
            (pace.due_us / 1000 <= LARGEST, "its pace is due in another age"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, why)| why)
    }
}

fn slot(from: &mut Reader<'_>) -> Slot {
    Slot { started: from.u48(), lasts: from.u16() }
}
