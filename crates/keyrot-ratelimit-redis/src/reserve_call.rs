//! Asking for quota in the words of reserve.lua, which has the layout.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use keyrot_core::books::SEND_WITHIN;
use keyrot_core::{
    Ask, Candidate, Grant, Group, Limits, Millis, Reason, Refusal, Reservation, Reserved, ScopeChange,
};
use redis::Value;

use crate::names::Names;
use crate::reply::{Changed, bytes_of, changes};
use crate::script::Arguments;
use crate::wire::{LARGEST, Reader, Writer};

/// Of a candidate, what the script has to know.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    group: Arc<Group>,
    limits: Limits,
}

impl Offered {
    pub(crate) fn of(candidate: &Candidate) -> Self {
        Self { group: Arc::clone(&candidate.group), limits: candidate.limits }
    }
}

/// One caller's question; several travel together.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) candidates: Vec<Offered>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) seen: u64,
}

/// What the script says about all of them.
pub(crate) struct Answer {
    pub(crate) now: Millis,
    pub(crate) incarnation: u64,
    /// The memory that this process knew is gone: nothing was granted.
    pub(crate) forgot: bool,
    pub(crate) replies: Vec<Reserved>,
}

/// The arguments of one call, and in which order the questions are answered.
pub(crate) struct Request {
    pub(crate) arguments: Arguments,
    pub(crate) order: Vec<usize>,
}

/// Questions that are alike are asked once, with how many they are, for the script grants them at once. They come in
/// the order in which the first of their kind was asked.
pub(crate) fn request(calls: &[Call], names: &Names, clock: Vec<u8>) -> Request {
    let mut arguments =
        Arguments { keys: vec![names.pool(), names.blocks(), names.changes()], values: Vec::new() };
    let mut records: HashMap<&Group, u16> = HashMap::new();
    let mut offered: HashMap<(u16, Limits), u16> = HashMap::new();
    // callers of one pool offer the very same groups: found by their address they need not be compared
    let mut known: HashMap<(*const Group, Limits), u16, RandomState> = HashMap::default();
    let (mut candidates, mut questions) = (Writer::default(), Writer::default());
    let mut before: Option<(&Call, Vec<u8>)> = None;
    let mut ends = Vec::with_capacity(calls.len());
    for call in calls {
        questions.u48(call.seen);
        match &before {
            Some((last, indexes)) if same(&last.candidates, &call.candidates) => questions.0.extend(indexes),
            _ => {
                let mut indexes = Writer::default();
                indexes.u8(u8::try_from(call.candidates.len()).unwrap_or(u8::MAX));
                for Offered { group, limits } in call.candidates.iter().take(u8::MAX.into()) {
                    if let Some(index) = known.get(&(Arc::as_ptr(group), *limits)) {
                        indexes.u16(*index);
                        continue;
                    }
                    let next = records.len() as u16;
                    let record = *records.entry(group).or_insert_with(|| {
                        arguments.keys.push(names.quota(group));
                        next
                    });
                    let next = offered.len() as u16;
                    let index = *offered.entry((record, *limits)).or_insert_with(|| {
                        candidates.u16(record);
                        candidates.limits(limits);
                        next
                    });
                    known.insert((Arc::as_ptr(group), *limits), index);
                    indexes.u16(index);
                }
                questions.0.extend(&indexes.0);
                before = Some((call, indexes.0));
            }
        }
        questions.u16(u16::try_from(call.asks.len()).unwrap_or(u16::MAX));
        for ask in call.asks.iter().take(u16::MAX.into()) {
            questions.u48(ask.tokens);
            questions.u16(ask.probe_ttl.as_millis().min(60_000) as u16);
        }
        ends.push(questions.0.len());
    }
    let (order, questions) = together(&questions.0, &ends);
    arguments.values = vec![clock, candidates.0, questions];
    Request { arguments, order }
}

/// In which order the questions are answered if those that are alike stand side by side, and each kind once behind how
/// many are of it; `ends` says where each of them ends.
fn together(questions: &[u8], ends: &[usize]) -> (Vec<usize>, Vec<u8>) {
    let mut kinds: HashMap<&[u8], usize, RandomState> = HashMap::default();
    let mut each: Vec<(&[u8], u16)> = Vec::new();
    let mut of_kind = Vec::with_capacity(ends.len());
    let mut from = 0;
    for end in ends {
        let text = &questions[from..*end];
        from = *end;
        // mostly all are alike: then nothing is hashed but the first
        let kind = if each.first().is_some_and(|(first, _)| *first == text) {
            0
        } else {
            *kinds.entry(text).or_insert(each.len())
        };
        match each.get_mut(kind) {
            Some((_, times)) => *times += 1,
            None => each.push((text, 1)),
        }
        of_kind.push(kind);
    }
    let mut order: Vec<usize> = (0..ends.len()).collect();
    if each.len() > 1 {
        order.sort_by_key(|index| of_kind[*index]); // stable: within a kind whoever came first is first
    }
    let mut to = Writer::default();
    for (text, times) in each {
        to.u16(times);
        to.0.extend(text);
    }
    (order, to.0)
}

/// Callers of one pool often offer the very same groups.
fn same(a: &[Offered], b: &[Offered]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(&a.group, &b.group) && a.limits == b.limits)
}

/// `None` if it is not understood.
pub(crate) fn answer(reply: Value, calls: &[Call], order: &[usize], numbers: &AtomicU64) -> Option<Answer> {
    let (first, others) = match reply {
        Value::Array(parts) => {
            let mut parts = parts.into_iter();
            (parts.next()?, parts)
        }
        alone => (alone, Vec::new().into_iter()),
    };
    let first = bytes_of(first)?;
    let mut answers = Reader(&first);
    let (now, generation, incarnation) = (answers.u48()?, answers.u48()?, answers.u48()?);
    let forgot = answers.u8()? == 1;
    let changed = changes(others)?;
    if forgot {
        return Some(Answer { now, incarnation, forgot, replies: Vec::new() });
    }
    let mut answers = Answers { rest: answers, left: 0, one: &[] };
    let mut replies: Vec<Reserved> = Vec::new();
    replies.resize_with(calls.len(), Reserved::default);
    for index in order {
        let call = calls.get(*index)?;
        let mut reply = Reserved { now, generation: generation.max(call.seen), ..Reserved::default() };
        if generation > call.seen {
            answers.next(|one| (one.u8()? == 253).then_some(()))?;
            reply.changed = news(&changed, call.seen);
        } else {
            for ask in 0..call.asks.len() {
                answers.next(|one| read_ask(one, call, ask, &mut reply, numbers))?;
            }
        }
        *replies.get_mut(*index)? = reply;
    }
    answers.are_all_read().then_some(Answer { now, incarnation, forgot, replies })
}

/// The changes after a generation.
pub(crate) fn news(changed: &[Changed], seen: u64) -> Vec<ScopeChange> {
    changed.iter().filter(|one| one.generation > seen).map(|one| one.change.clone()).collect()
}

/// Answers, each behind how many asks in a row it answers.
struct Answers<'a> {
    rest: Reader<'a>,
    /// So many more asks have the answer that `one` begins with.
    left: u16,
    one: &'a [u8],
}

impl<'a> Answers<'a> {
    /// Reads the answer to the next ask.
    fn next(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Option<()>) -> Option<()> {
        if self.left == 0 {
            self.left = self.rest.u16()?;
            self.one = self.rest.0;
        }
        self.left = self.left.checked_sub(1)?;
        self.rest = Reader(self.one);
        read(&mut self.rest)
    }

    fn are_all_read(&self) -> bool {
        self.left == 0 && self.rest.is_empty()
    }
}

fn read_ask(
    answers: &mut Reader<'_>,
    call: &Call,
    ask: usize,
    reply: &mut Reserved,
    numbers: &AtomicU64,
) -> Option<()> {
    for candidate in 0..=call.candidates.len() {
        match answers.u8()? {
            255 => {
                let (taken_at, day_end, probe) = (answers.u48()?, answers.u48()?, answers.u8()? == 1);
                let reservation = Reservation::new(
                    Arc::clone(&call.candidates.get(candidate)?.group),
                    taken_at,
                    call.asks[ask].tokens,
                    day_end,
                    numbers.fetch_add(1, Ordering::Relaxed) + 1,
                    probe,
                );
                let send_by = reply.now + SEND_WITHIN;
                reply.grants.push(Grant { ask, candidate, reservation, send_by });
                return Some(());
            }
            254 => return (candidate == call.candidates.len()).then_some(()),
            code => {
                let at = answers.u48()?;
                let not_before = (at != LARGEST).then_some(at);
                reply.refused.push(Refusal { ask, candidate, not_before, reason: Reason::of_code(code) });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_are_alike_are_asked_once_in_the_order_of_the_first_of_each_kind() {
        let (order, asked) = together(b"bbacccabba", &[2, 3, 6, 7, 9, 10]);
        assert_eq!(order, [0, 4, 1, 3, 5, 2]);
        assert_eq!(asked, b"\x02\0bb\x03\0a\x01\0ccc");
        assert_eq!(together(b"aaa", &[1, 2, 3]), (vec![0, 1, 2], b"\x03\0a".to_vec()));
        assert_eq!(together(b"", &[]), (vec![], vec![]));
    }

    #[test]
    fn an_answer_is_read_for_as_many_asks_as_it_says() {
        let bytes = b"\x02\0a\x01\0b";
        let mut answers = Answers { rest: Reader(bytes), left: 0, one: &[] };
        let read: Vec<_> = (0..3)
            .map(|_| {
                let mut read = None;
                assert!(!answers.are_all_read());
                answers.next(|one| one.u8().map(|byte| read = Some(byte))).unwrap();
                read.unwrap()
            })
            .collect();
        assert_eq!(read, b"aab");
        assert!(answers.are_all_read() && answers.next(|_| Some(())).is_none());
        let mut none = Answers { rest: Reader(b"\0\0a"), left: 0, one: &[] };
        assert!(none.next(|_| Some(())).is_none(), "for no ask");
    }
}
