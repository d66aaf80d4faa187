//! `kill -9` in the middle of saves, with several processes that write at the same time.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at what it does not expect")]
#![expect(clippy::print_stdout, reason = "the way its processes report")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use keyrot_core::{KeyId, KeyMetadata, KeySet};
use tempfile::TempDir;

const TEST: &str = "killed_writers_lose_nothing_and_tear_nothing";
const KILLS: usize = 200;
const WRITERS: usize = 4;
/// Each writer goes round over so many entries of its own.
const ENTRIES: usize = 15;
/// Set in the processes that this test starts: file, writer and the number to begin with.
const ROLE: &str = "WRITER_OF_KEYS_FILE";

const FILE: &str = "// ours\n{\n  \"owner\": \"team a\",\n  \"keys\": [\n    {\"key_id\": \"seed\", \"model_name\": \"m\"} \
                    // stays\n  ]\n}\n";

fn entry(writer: usize, number: usize) -> String {
    format!("w{writer}_{}", number % ENTRIES)
}

/// Saves one change after the other and reports each that is done, until it is killed.
fn write_until_killed(role: &str) {
    let mut role = role.split('|');
    let path = PathBuf::from(role.next().unwrap());
    let mut number = || role.next().unwrap().parse().unwrap();
    let (writer, first): (usize, usize) = (number(), number());
    for number in first.. {
        let mut keys = KeySet::load(&path).unwrap();
        let id = KeyId::parse(&entry(writer, number)).unwrap();
        let key = keys.get(id.as_str()).cloned().unwrap_or_else(|| KeyMetadata::new(id, "m"));
        keys.upsert(key.with_tag("number", &number.to_string())).unwrap();
        keys.save(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64)).unwrap();
        println!("\nsaved {number}"); // ends this process when the test is gone
    }
}

struct Writer {
    process: Child,
    reports: JoinHandle<Option<usize>>,
}

impl Writer {
    fn start(path: &Path, writer: usize, first: usize, saved: Sender<usize>) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(ROLE, format!("{}|{writer}|{first}", path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reports = std::thread::spawn(move || {
            let mut last = None;
            for line in lines.map_while(Result::ok) {
                let Some(number) = line.strip_prefix("saved ") else { continue };
                // the last line of a killed process may be cut
                let Ok(number) = number.parse::<usize>() else { continue };
                last = last.max(Some(number));
                let _ = saved.send(writer);
            }
            last
        });
        Self { process, reports }
    }

    /// Kills the process and tells the last number that it reported as saved.
    fn kill(mut self) -> Option<usize> {
        self.process.kill().unwrap();
        let ended = self.process.wait().unwrap();
        assert!(cfg!(windows) || ended.code().is_none(), "a writer had ended by itself: {ended}");
        self.reports.join().unwrap()
    }
}

/// The number that the file holds for each entry.
fn numbers(path: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("// ours") && text.contains("// stays") && text.ends_with("}\n"), "{text}");
    let keys = KeySet::parse(&text).unwrap();
    assert!(keys.get("seed").is_some() && text.contains("\"owner\": \"team a\""), "{text}");
    let tagged = keys
        .iter()
        .filter_map(|key| Some((key.key_id.to_string(), key.tags.get("number")?.parse().unwrap())));
    tagged.collect()
}

/// Waits until some writers have saved: all of them are within a save or about to begin the next.
fn wait_for_saves(saved: &Receiver<usize>, count: usize) {
    for _ in 0..count {
        saved.recv_timeout(Duration::from_secs(60)).expect("no writer gets on");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this test starts itself as another process")]
fn killed_writers_lose_nothing_and_tear_nothing() {
    if let Ok(role) = std::env::var(ROLE) {
        return write_until_killed(&role);
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keys.json");
    fs::write(&path, FILE).unwrap();
    let (report, saved) = channel();
    let mut random = fastrand::Rng::with_seed(1);
    let mut next = [0; WRITERS];
    let mut expected = BTreeMap::new();
    let mut writers: Vec<Option<Writer>> =
        (0..WRITERS).map(|writer| Some(Writer::start(&path, writer, 0, report.clone()))).collect();
    let mut in_the_act = 0;
    for _ in 0..KILLS {
        wait_for_saves(&saved, random.usize(1..4));
        for _ in 0..random.u32(0..300_000) {
            std::hint::spin_loop(); // hit another point of the save each time
        }
        let victim = random.usize(0..WRITERS);
        let last = writers[victim].take().unwrap().kill();
        in_the_act += usize::from(directory.path().join("keys.json.tmp").exists());
        if let Some(last) = last {
            for number in next[victim]..=last {
                expected.insert(entry(victim, number), number);
            }
            next[victim] = last + 1;
        }
        let held = numbers(&path);
        for (id, number) in &expected {
            assert!(
                held.get(id) >= Some(number),
                "{id} was saved as {number}, the file has {:?}",
                held.get(id)
            );
        }
        writers[victim] = Some(Writer::start(&path, victim, next[victim], report.clone()));
    }
    for (victim, writer) in writers.into_iter().flatten().enumerate() {
        if let Some(last) = writer.kill() {
            expected.extend((next[victim]..=last).map(|number| (entry(victim, number), number)));
            next[victim] = last + 1;
        }
    }
    let held = numbers(&path);
    for (id, number) in &expected {
        assert!(held.get(id) >= Some(number), "{id} was saved as {number}, the file has {:?}", held.get(id));
    }
    println!("{} saves, {in_the_act} of {KILLS} kills left a draft", next.iter().sum::<usize>());
    assert!(next.iter().all(|saves| *saves > 0), "a writer never saved: {next:?}");
}
