//! What all processes of a race said, and what must be true of it.

use std::collections::BTreeMap;

use crate::race_caller::{RPM, TPM, rpd};

/// What a provider counts, with the time that a call may be under way.
const WINDOW: u64 = 61_000;

#[derive(Clone, Debug)]
struct Call {
    project: String,
    key: String,
    at: u64,
    tokens: u64,
    day_end: u64,
    /// It was not given back.
    sent: bool,
    /// A report of it was begun ...
    begun: bool,
    /// ... and answered.
    answered: bool,
}

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By process and number.
    granted: BTreeMap<(u64, u64), Call>,
    /// Acquires and reports that were answered.
    pub(crate) calls: u64,
    pub(crate) repeats: u64,
}

/// The highest that was ever reached.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Highest {
    /// In any window of a project.
    pub requests: u32,
    /// In any window of a project.
    pub tokens: u64,
    /// Of a project that has few.
    pub day: u32,
    /// Windows that were full of requests.
    pub full_windows: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, process: u64, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        if let "refused" | "took" | "settled" | "repeated" = words[0] {
            self.calls += 1;
        }
        match words[0] {
            "took" => {
                let call = Call {
                    project: words[2].to_owned(),
                    key: words[3].to_owned(),
                    at: number(4),
                    tokens: number(5),
                    day_end: number(6),
                    sent: true,
                    begun: false,
                    answered: false,
                };
                self.granted.insert((process, number(1)), call);
            }
            report @ ("gives-back" | "used" | "settled") => {
                let call = self.granted.get_mut(&(process, number(1))).expect("a call that was granted");
                match report {
                    "gives-back" => (call.sent, call.begun) = (false, true),
                    "used" => (call.tokens, call.begun) = (number(2), true),
                    _ => call.answered = true,
                }
            }
            "repeated" => self.repeats += 1,
            _ => {} // the test runner's own, or one that needs no book
        }
    }

    pub(crate) fn grants(&self) -> u64 {
        self.granted.len() as u64
    }

    /// Each window that ends with a call, and each day.
    pub(crate) fn highest(&self) -> Highest {
        let mut projects: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for call in self.granted.values().filter(|call| call.sent) {
            projects.entry(&call.project).or_default().push(call);
        }
        let mut highest = Highest::default();
        for calls in projects.values_mut() {
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
        for ((project, _), count) in self.by_day() {
            let number = project.trim_start_matches('p').parse().expect("a project of the race");
            assert!(count <= rpd(number), "{project}: {count}");
            if rpd(number) == rpd(1) {
                highest.day = highest.day.max(count);
            }
        }
        assert!(highest.requests <= RPM, "{highest:?}");
        assert!(highest.tokens <= TPM, "{highest:?}");
        highest
    }

    /// Calls that were sent, by project and day.
    pub(crate) fn by_day(&self) -> BTreeMap<(&str, u64), u32> {
        let mut days = BTreeMap::new();
        for call in self.granted.values().filter(|call| call.sent) {
            *days.entry((call.project.as_str(), call.day_end)).or_default() += 1;
        }
        days
    }

    /// How many reports about a key were begun, and how many of them answered.
    pub(crate) fn reports(&self, key: &str) -> (u64, u64) {
        let of_key = || self.granted.values().filter(|call| call.key == key);
        let begun = of_key().filter(|call| call.begun).count();
        (begun as u64, of_key().filter(|call| call.answered).count() as u64)
    }
}
