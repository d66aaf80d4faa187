//! Starts the processes, kills them at random, and looks at what is left.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

use keyrot_core::{CounterRecord, QuotaRecord, RateLimiter, ScopeRecord};
use rusqlite::Connection;

use crate::caller::{PROJECTS, candidate, limiter};
use crate::ledger::{Highest, Ledger};

/// Set in the processes: the file, the process's number, when the race began.
pub(crate) const ROLE: &str = "CALLER_OF_RACE";

pub(crate) struct Size {
    pub(crate) processes: usize,
    pub(crate) calls: u64,
    pub(crate) kills: u64,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    pub(crate) kills: u64,
    pub(crate) highest: Highest,
}

/// `arguments` lead this program to the caller's part.
pub(crate) fn race(size: &Size, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let race = Race { path: folder.path().join("state.db"), began: now(), arguments };
    let (said, heard) = channel();
    let (mut ledger, mut rng) = (Ledger::default(), fastrand::Rng::with_seed(1));
    let (mut started, mut kills) = (0, 0);
    let mut running: Vec<Child> = Vec::new();
    let mut until_next = 0_u64;
    while ledger.questions < size.calls || kills < size.kills {
        while running.len() < size.processes {
            started += 1;
            running.push(race.start(started, said.clone()));
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
    look_at_the_file(&race, &ledger);
    Outcome { calls: ledger.questions, kills, highest }
}

struct Race<'a> {
    path: PathBuf,
    began: SystemTime,
    arguments: &'a [&'a str],
}

impl Race<'_> {
    fn start(&self, process: u64, said: Sender<(u64, String)>) -> Child {
        let began = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(self.arguments)
            .env(ROLE, format!("{}|{process}|{began}", self.path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| !line.is_empty()) {
                let _ = said.send((process, line)); // nobody listens to the end of a race that failed
            }
        });
        child
    }
}

fn hear(heard: &Receiver<(u64, String)>, ledger: &mut Ledger) {
    let (process, line) = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    ledger.note(process, &line);
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    assert!(ended.code().is_none(), "a process had ended by itself: {ended}");
}

/// The file is sound, each record is consistent in itself, and no grant that was told is missing.
fn look_at_the_file(race: &Race<'_>, ledger: &Ledger) {
    let limiter = limiter(&race.path, race.began);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let groups: Vec<_> = (0..PROJECTS).map(candidate).collect();
    let usage = runtime.block_on(limiter.snapshot(&groups, &[], &[])).unwrap().groups;
    let days = ledger.by_day();
    for (of, used) in groups.iter().zip(usage) {
        let name = of.group.name();
        let told = days.get(&(name.as_str(), used.day_end)).copied().unwrap_or_default();
        assert!(used.day_requests >= told, "{name}: {told} were granted today, {used:?}");
    }
    let file = Connection::open(&race.path).unwrap();
    let sound: String = file.query_one("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    assert_eq!(files(&race.path, "damaged"), 0, "nothing was damaged");
    let mut rows = file.prepare("SELECT name, bytes FROM record").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)));
    for (name, bytes) in rows.unwrap().map(Result::unwrap) {
        let read = match name.split(':').next() {
            Some("quota") => QuotaRecord::from_bytes(&bytes).map(drop),
            Some("scope") => ScopeRecord::from_bytes(&bytes).map(drop),
            Some("counter") => CounterRecord::from_bytes(&bytes).map(drop),
            _ => Ok(()),
        };
        assert!(read.is_ok(), "{name}: {read:?}");
    }
}

fn files(path: &Path, part: &str) -> usize {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains(part)).count()
}

#[expect(clippy::disallowed_methods, reason = "real processes need real time")]
fn now() -> SystemTime {
    SystemTime::now()
}
