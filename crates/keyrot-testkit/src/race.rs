//! A race of processes for one home of the records: they are killed at random, and what they said is compared with
//! what is left.
//!
//! The program that calls [`Race::run`] is started again for each process, with [`Race::arguments`]. They lead it to
//! [`call_if_started_by_a_race`], which does not come back.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use keyrot_core::{Clock, RateLimiter, SystemClock};

use crate::race_caller::{FastClock, KEYS, PROJECTS, RPM, Role, TPM, call_until_killed, candidate, key, rpd};
use crate::race_ledger::{Highest, Ledger};

/// Opens the limiter whose records are there (a path, an address), by this clock.
pub type Open = fn(place: &str, clock: Arc<dyn Clock>) -> Arc<dyn RateLimiter>;

/// Set in the processes of a race.
const ROLE: &str = "CALLER_OF_RACE";

/// By the limiters' time: until then every limit was reached, however fast the machine is.
const LASTS: Duration = Duration::from_secs(8 * 60);

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Race<'a> {
    /// Where the records are, as `open` understands it. Nothing is there yet.
    pub place: &'a str,
    /// How the limiter is opened.
    pub open: Open,
    /// Lead this program to [`call_if_started_by_a_race`].
    pub arguments: &'a [&'a str],
    /// So much faster goes the limiters' time: with 300 a minute lasts 0.2 s.
    pub speed: u32,
    /// So many at once; whoever was killed is replaced.
    pub processes: usize,
    /// The race ends after so many acquires and reports ...
    pub calls: u64,
    /// ... and not before so many were killed.
    pub kills: u64,
}

/// What happened. That nothing was exceeded and nothing was lost is so: [`Race::run`] fails otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Acquires and reports that were answered.
    pub calls: u64,
    /// Acquires that were granted.
    pub grants: u64,
    /// Reports that were made twice.
    pub repeats: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// The most that was ever counted in a window.
    pub highest: Highest,
}

/// In a process that a race has started this calls until it is killed; elsewhere it does nothing.
#[expect(clippy::disallowed_methods, reason = "the one way to tell a process of ours what it is")]
pub fn call_if_started_by_a_race(open: Open) {
    if let Ok(role) = std::env::var(ROLE) {
        call_until_killed(&Role::read(&role), open);
    }
}

impl Race<'_> {
    /// Runs it: 20 keys in 8 projects.
    ///
    /// # Panics
    /// If a limit was exceeded, a grant or a report was lost or counted twice, or no limit was ever reached.
    pub fn run(&self) -> Outcome {
        let (said, heard) = channel();
        let (mut ledger, mut rng, began) =
            (Ledger::default(), fastrand::Rng::with_seed(1), SystemClock.wall());
        let clock = FastClock { began, speed: self.speed };
        let (mut started, mut kills, mut until_next) = (0, 0, 0_u64);
        let mut running: Vec<Child> = Vec::new();
        let too_short = || clock.passed() < LASTS;
        while ledger.calls < self.calls || kills < self.kills || too_short() {
            while running.len() < self.processes {
                started += 1;
                running.push(self.start(started, clock, said.clone()));
            }
            hear(&heard, &mut ledger);
            until_next = until_next.saturating_sub(1);
            if until_next == 0 {
                // seldom enough that each gets to its calls, often enough for all of the kills
                until_next = rng.u64(100..600);
                kills += 1;
                kill(running.swap_remove(rng.usize(..running.len())));
            }
        }
        running.into_iter().for_each(kill);
        drop(said);
        for (process, line) in heard {
            ledger.note(process, &line);
        }
        let highest = ledger.highest();
        self.compare(&ledger, clock);
        let Ledger { calls, repeats, .. } = ledger;
        let outcome = Outcome { calls, grants: ledger.grants(), repeats, kills, highest };
        let reached = highest.requests == RPM && highest.day + 10 > rpd(1) && highest.full_windows > 20;
        assert!(reached, "limits were never reached: {outcome:?}");
        outcome
    }

    fn start(&self, process: u64, clock: FastClock, said: Sender<(u64, String)>) -> Child {
        let program = std::env::current_exe().expect("this program");
        let role = Role { process, clock, place: self.place.to_owned() };
        let mut command = Command::new(program);
        command.args(self.arguments).env(ROLE, role.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| !line.is_empty()) {
                let _ = said.send((process, line)); // nobody listens to the end of a race that failed
            }
        });
        child
    }

    /// Every record can be read, and holds what the ledger holds: at least what was told, at most what was begun.
    fn compare(&self, ledger: &Ledger, clock: FastClock) {
        let limiter = (self.open)(self.place, Arc::new(clock));
        let groups: Vec<_> = (0..PROJECTS).map(candidate).collect();
        let scopes: Vec<_> = groups.iter().map(|of| of.group.scope()).collect();
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let left = runtime.block_on(limiter.snapshot(&groups, &scopes, &keys)).expect("sound records");
        let days = ledger.by_day();
        for (of, used) in groups.iter().zip(left.groups) {
            let name = of.group.project.to_string();
            let told = days.get(&(name.as_str(), used.day_end)).copied().unwrap_or_default();
            assert!(used.day_requests >= told, "{name}: {told} were granted today, {used:?}");
            assert!(used.minute_requests <= RPM && used.minute_tokens <= TPM, "{name}: {used:?}");
        }
        for (key, counted) in keys.iter().zip(left.counters) {
            let (begun, told) = ledger.reports(key.as_str());
            let right = told..=begun;
            assert!(
                right.contains(&counted.successes),
                "{key}: {told} of {begun} were answered, {counted:?}"
            );
        }
    }
}

fn hear(heard: &Receiver<(u64, String)>, ledger: &mut Ledger) {
    let (process, line) = heard.recv_timeout(Duration::from_secs(60)).expect("a process that says something");
    ledger.note(process, &line);
}

fn kill(mut child: Child) {
    child.kill().expect("a process to kill");
    let ended = child.wait().expect("its end");
    assert!(ended.code().is_none(), "a process had ended by itself: {ended}");
}

impl Outcome {
    /// The head of a table of outcomes.
    pub const HEAD: &str = "\
        | records in | processes | calls | granted | reported twice | killed | requests a minute | tokens a minute | requests a day |\n\
        |---|---|---|---|---|---|---|---|---|";

    /// A row of that table.
    pub fn row(&self, home: &str, processes: usize) -> String {
        let Self { calls, grants, repeats, kills, highest } = self;
        let Highest { requests, tokens, day, .. } = highest;
        format!(
            "| {home} | {processes} | {calls} | {grants} | {repeats} | {kills} | {requests} of {RPM} | {tokens} of {TPM} | \
             {day} of {} |",
            rpd(1)
        )
    }
}
