//! What all processes said, and what must be true of it.

use std::collections::BTreeMap;

use crate::caller::{RPM, TPM, rpd};

/// What a provider counts, with the time that a call may be under way.
const WINDOW: u64 = 61_000;

#[derive(Clone, Debug)]
struct Call {
    group: String,
    at: u64,
    tokens: u64,
    day_end: u64,
    sent: bool,
}

/// Calls by process and number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: BTreeMap<(u64, u64), Call>,
    pub(crate) questions: u64,
}

/// The highest that was ever reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Highest {
    pub(crate) requests: u32,
    pub(crate) tokens: u64,
    /// Of a project that has few.
    pub(crate) day: u32,
    /// Windows that were full of requests.
    pub(crate) full_windows: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, process: u64, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "took" => {
                let call = Call {
                    group: words[2].to_owned(),
                    at: number(3),
                    tokens: number(4),
                    day_end: number(5),
                    sent: true,
                };
                self.calls.insert((process, number(1)), call);
                self.questions += 1;
            }
            "gave-back" => self.calls.get_mut(&(process, number(1))).unwrap().sent = false,
            "used" => self.calls.get_mut(&(process, number(1))).unwrap().tokens = number(2),
            "refused" | "settled" => self.questions += 1,
            _ => {} // the test runner's own
        }
    }

    /// Each window that ends with a call, and each day.
    pub(crate) fn highest(&self) -> Highest {
        let mut groups: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for call in self.calls.values().filter(|call| call.sent) {
            groups.entry(&call.group).or_default().push(call);
        }
        let mut highest = Highest::default();
        for calls in groups.values_mut() {
            calls.sort_by_key(|call| call.at);
            let (mut first, mut tokens) = (0, 0);
            for last in 0..calls.len() {
                tokens += calls[last].tokens;
                while calls[first].at + WINDOW <= calls[last].at {
                    tokens -= calls[first].tokens;
                    first += 1;
                }
                let requests = (last + 1 - first) as u32;
                highest.requests = highest.requests.max(requests);
                highest.tokens = highest.tokens.max(tokens);
                highest.full_windows += u64::from(requests == RPM);
            }
        }
        for ((group, _), count) in self.by_day() {
            let project = group.trim_start_matches('p').split('/').next().unwrap().parse().unwrap();
            assert!(count <= rpd(project), "{group}: {count}");
            if rpd(project) == rpd(1) {
                highest.day = highest.day.max(count);
            }
        }
        assert!(highest.requests <= RPM, "{highest:?}");
        assert!(highest.tokens <= TPM, "{highest:?}");
        highest
    }

    /// Calls that were sent, by group and day.
    pub(crate) fn by_day(&self) -> BTreeMap<(&str, u64), u32> {
        let mut days = BTreeMap::new();
        for call in self.calls.values().filter(|call| call.sent) {
            *days.entry((call.group.as_str(), call.day_end)).or_default() += 1;
        }
        days
    }
}
