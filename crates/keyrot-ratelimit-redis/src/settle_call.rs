//! Settling in the words of settle.lua, which has the layout.

use std::collections::HashMap;
use std::sync::Arc;

use keyrot_core::{
    Disposition, Group, Millis, Quota, Scope, SettleBatch, Settled, Settlement, Span, Tally, Verdict,
    pacific_day_end,
};
use redis::Value;

use crate::names::Names;
use crate::reply::{bytes_of, changes};
use crate::reserve_call::news;
use crate::script::Arguments;
use crate::wire::{Reader, Writer};

const NONE: u16 = u16::MAX;
/// The longest that the provider's word is taken for, as in keyrot-core.
const LONGEST_NAMED_MS: u128 = 24 * 3600 * 1000;

/// What is sent together: batches, or a scope to reset.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    Batch(SettleBatch),
    Reset(Scope),
}

impl Report {
    fn seen(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.seen,
            Self::Reset(_) => u64::MAX,
        }
    }
}

pub(crate) struct Answer {
    pub(crate) now: Millis,
    pub(crate) incarnation: u64,
    pub(crate) replies: Vec<Settled>,
}

/// The arguments of one call, and which group each record index means.
pub(crate) struct Request {
    pub(crate) arguments: Arguments,
    groups: HashMap<u16, Arc<Group>>,
}

struct Builder<'n> {
    names: &'n Names,
    keys: Vec<String>,
    records: HashMap<Arc<Group>, u16>,
    issuers: HashMap<u64, u16>,
    texts: HashMap<String, u16>,
    text_list: Vec<Vec<u8>>,
}

impl Builder<'_> {
    fn key(&mut self, name: String) -> u16 {
        self.keys.push(name);
        u16::try_from(self.keys.len() - 1).unwrap_or(NONE)
    }

    fn record(&mut self, group: &Arc<Group>) -> u16 {
        if let Some(index) = self.records.get(group) {
            return *index;
        }
        let index = self.key(self.names.quota(group));
        self.records.insert(Arc::clone(group), index);
        index
    }

    fn issuer(&mut self, epoch: u64) -> u16 {
        if let Some(index) = self.issuers.get(&epoch) {
            return *index;
        }
        let index = self.key(self.names.issuer(epoch));
        self.issuers.insert(epoch, index);
        index
    }

    fn text(&mut self, text: String) -> u16 {
        let next = self.text_list.len() as u16;
        *self.texts.entry(text).or_insert_with_key(|text| {
            self.text_list.push(text.clone().into_bytes());
            next
        })
    }

    fn batch(&mut self, report: &Report, to: &mut Writer) {
        let mut body = Writer::default();
        match report {
            Report::Batch(batch) => {
                batch.settlements.iter().for_each(|one| self.settlement(one, &mut body));
                let verdicts = batch.verdicts.iter().filter(|one| self.verdict(one, &mut body)).count();
                batch.tallies.iter().for_each(|one| self.tally(one, &mut body));
                to.u16(self.issuer(batch.epoch));
                to.u48(batch.number);
                to.u48(batch.seen);
                to.u16(batch.jitter);
                to.u64(nanos(batch.backoff.base));
                to.u64(nanos(batch.backoff.max));
                to.u16(batch.settlements.len() as u16);
                to.u16(verdicts as u16);
                to.u16(batch.tallies.len() as u16);
            }
            Report::Reset(scope) => {
                body.u8(6);
                body.u16(self.text(scope.name()));
                body.u16(scope.group().map_or(NONE, |group| self.record(&Arc::new(group))));
                to.u16(NONE);
                to.u48(0);
                to.u48(u64::MAX);
                to.u16(0);
                to.u64(0);
                to.u64(0);
                to.u16(0);
                to.u16(1);
                to.u16(0);
            }
        }
        to.u32(body.0.len() as u32);
        to.0.extend(body.0);
    }

    fn settlement(&mut self, Settlement { reservation, disposition }: &Settlement, to: &mut Writer) {
        let (flags, used) = match *disposition {
            Disposition::Release => (2, 0),
            Disposition::Sent { input_tokens, proven } => {
                ((u8::from(input_tokens.is_some()) * 4) | (u8::from(proven) * 8), input_tokens.unwrap_or(0))
            }
            _ => (0, 0), // a later kind: the call was sent
        };
        to.u16(self.record(&reservation.group));
        to.u48(reservation.taken_at);
        to.u48(reservation.tokens);
        to.u48(reservation.day_end);
        to.u8(flags | u8::from(reservation.probe));
        to.u48(used);
    }

    /// False if it was left out.
    fn verdict(&mut self, verdict: &Verdict, to: &mut Writer) -> bool {
        match verdict {
            Verdict::Block { scope, reason, span, since } => {
                let (kind, value) = match span {
                    Span::Backoff => (0, 0),
                    Span::DayEnd => (2, pacific_day_end(*since)),
                    Span::Named(delay) => {
                        let millis = delay.as_nanos().div_ceil(1_000_000).min(LONGEST_NAMED_MS);
                        (1, u64::try_from(millis).unwrap_or(0))
                    }
                    _ => (0, 0),
                };
                to.u8(1);
                to.u16(self.text(scope.name()));
                to.u16(scope.group().map_or(NONE, |group| self.record(&Arc::new(group))));
                to.u8(reason.code());
                to.u8(kind);
                to.u48(value);
                to.u48(*since);
            }
            Verdict::Clear { scope, since } => {
                to.u8(2);
                to.u16(self.text(scope.name()));
                to.u48(*since);
            }
            Verdict::Learn { group, limit } => {
                to.u8(3);
                to.u16(self.record(group));
                to.u8(match limit.quota {
                    Quota::RequestsPerDay => 0,
                    Quota::RequestsPerMinute => 1,
                    _ => 2,
                });
                to.u48(limit.value.unwrap_or(0));
            }
            Verdict::Tighten { group, limits, since } => {
                to.u8(4);
                to.u16(self.record(group));
                to.u48(*since);
                to.limits(limits);
            }
            Verdict::Recall { group, calls, day_end, day_requests } => {
                to.u8(5);
                to.u16(self.record(group));
                to.u48(*day_end);
                to.u32(*day_requests);
                to.u16(calls.len() as u16);
                for past in calls {
                    to.u48(past.at);
                    to.u16(past.requests);
                    to.u32(past.tokens);
                }
            }
            _ => return false, // of a newer core, which this protocol has no words for
        }
        true
    }

    fn tally(&mut self, tally: &Tally, to: &mut Writer) {
        to.u16(self.text(tally.key.as_str().to_owned()));
        to.u48(tally.used_at);
        to.u32(tally.successes);
        to.u32(tally.errors);
        to.u32(tally.abandoned);
    }
}

pub(crate) fn request(reports: &[Report], names: &Names, clock: Vec<u8>) -> Request {
    let mut builder = Builder {
        names,
        keys: Vec::new(),
        records: HashMap::new(),
        issuers: HashMap::new(),
        texts: HashMap::new(),
        text_list: Vec::new(),
    };
    let mut batches = Writer::default();
    reports.iter().for_each(|report| builder.batch(report, &mut batches));
    let mut keys = vec![names.pool(), names.blocks(), names.changes(), names.counters()];
    keys.append(&mut builder.keys);
    let mut values = vec![clock, batches.0];
    values.append(&mut builder.text_list);
    let groups = builder.records.into_iter().map(|(group, index)| (index, group)).collect();
    Request { arguments: Arguments { keys, values }, groups }
}

/// `None` if it is not understood. Whoever reported with others hears of all that was freed.
pub(crate) fn answer(reply: Value, reports: &[Report], request: &Request) -> Option<Answer> {
    let mut parts = match reply {
        Value::Array(parts) => parts.into_iter(),
        _ => return None,
    };
    let header = bytes_of(parts.next()?)?;
    let mut header = Reader(&header);
    let (now, generation, incarnation) = (header.u48()?, header.u48()?, header.u48()?);
    let freed = bytes_of(parts.next()?)?;
    let mut indexes = Reader(&freed);
    let mut freed = Vec::new();
    while !indexes.is_empty() {
        freed.push(Arc::clone(request.groups.get(&indexes.u16()?)?));
    }
    let changed = changes(parts)?;
    let settled = |report: &Report| Settled {
        now,
        generation: generation.max(report.seen()),
        changed: news(&changed, report.seen()),
        freed: freed.clone(),
    };
    Some(Answer { now, incarnation, replies: reports.iter().map(settled).collect() })
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(1 << 53)
}
