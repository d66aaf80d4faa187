//! Commits beside a bare loop on the same disk, and reservations of several processes at once.
//! `cargo xtask bench sqlite` prints the tables that docs/performance.md shows.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a report for people about real time; it ends at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyrot_core::{
    Ask, Candidate, Disposition, Group, KeyId, Limits, RateLimiter, Reservation, SettleBatch, Settlement,
    Tally,
};
use keyrot_ratelimit_sqlite::{SqliteLimiter, SqliteOptions};
use rusqlite::{Connection, params};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// Ratios are the median of so many rounds, in which all are measured in turn.
const ROUNDS: u64 = 7;
const COMMITS: u32 = 3_000;
const GROUPS: usize = 20;
const TASKS: usize = 8;
const FOR: Duration = Duration::from_secs(5);
/// Set in the processes that this bench starts: the file, and which of them it is.
const WORKER: &str = "WORKER_OF_BENCH";

fn main() {
    if let Ok(role) = std::env::var(WORKER) {
        return work(&role);
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if "sqlite".contains(&filter) {
        commits();
        processes();
    }
}

/// One call after the other: each is a commit, with the way to the writer's thread and back. Then callers who share
/// commits.
fn commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let loops = bare(&folder.path().join("bare.db"));
    let limiter = limiter(&folder.path().join("state.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (mut alone, mut reserved, mut settled) = (vec![], vec![], vec![]);
    let (mut few, mut many) = (vec![], vec![]);
    let mut caller = Caller::new(limiter, 1);
    for _ in 0..ROUNDS {
        alone.push(measure(COMMITS, || {
            for number in 0..COMMITS {
                update(&loops, number);
            }
        }));
        let mut taken = Vec::new();
        reserved.push(measure(COMMITS, || {
            taken = runtime.block_on(async {
                let mut taken = Vec::new();
                while taken.len() < COMMITS as usize {
                    taken.extend(caller.reserve().await);
                    if taken.len() == 1 {
                        caller.settle(taken[0].clone()).await; // the group is proven
                    }
                }
                taken
            });
        }));
        settled.push(measure(COMMITS, || {
            runtime.block_on(async {
                for taken in taken.drain(..) {
                    caller.settle(taken).await;
                }
            });
        }));
        few.push(at_once(&runtime, &caller, 8));
        many.push(at_once(&runtime, &caller, 64));
    }
    let bare = median(&alone);
    println!(
        "| one process | a second | beside the bare loop | CPU, µs | beside the bare loop |\n|---|---|---|---|---|"
    );
    for (what, rounds) in [
        ("`BEGIN IMMEDIATE; UPDATE; COMMIT`, nothing else", alone),
        ("reserve, one after the other", reserved),
        ("settle, one after the other", settled),
        ("reserve and settle, 8 callers", few),
        ("reserve and settle, 64 callers", many),
    ] {
        let took = median(&rounds);
        let (rate, cpu) = (1.0 / took.wall.as_secs_f64(), took.cpu.as_secs_f64() * 1e6);
        let beside = [bare.wall.div_duration_f64(took.wall), bare.cpu.div_duration_f64(took.cpu)];
        println!("| {what} | {rate:.0} | {:.2} | {cpu:.1} | {:.2} |", beside[0], beside[1]);
    }
}

/// So many callers, who share the commits.
fn at_once(runtime: &Runtime, caller: &Caller, callers: u32) -> Took {
    let each = COMMITS * 4 / callers;
    measure(each * callers * 2, || {
        let local = LocalSet::new();
        for number in 0..callers {
            local.spawn_local(pairs(caller.beside(number as usize), each));
        }
        runtime.block_on(local);
    })
}

/// Several processes at once, first each with the bare loop and SQLite's own way of waiting. The last column is what
/// the machine does to a thread that only naps for a millisecond, over and over.
fn processes() {
    println!(
        "\n| processes | what each does | a second, all of them | longest, ms | p99, ms | longest nap, ms |"
    );
    println!("|---|---|---|---|---|---|");
    for (count, kind, what) in [
        (1, "bare", "a bare loop"),
        (2, "bare", "a bare loop, waiting as SQLite does"),
        (4, "bare", "a bare loop, waiting as SQLite does"),
        (1, "limiter", "8 callers: reserve + settle, times of reserve"),
        (2, "limiter", "8 callers: reserve + settle, times of reserve"),
        (4, "limiter", "8 callers: reserve + settle, times of reserve"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        let own = std::env::current_exe().expect("this program");
        if kind == "bare" {
            drop(bare(&path));
        }
        let start = |number: usize| {
            let role = format!("{}|{kind}|{number}", path.display());
            Command::new(&own).env(WORKER, role).stdout(Stdio::piped()).spawn().expect("a process")
        };
        let workers: Vec<_> = (0..count).map(start).collect();
        let (mut done, mut longest, mut worst, mut napped) = (0.0, 0.0_f64, 0.0_f64, 0.0_f64);
        for worker in workers {
            let output = worker.wait_with_output().expect("a worker that ends");
            let text = String::from_utf8(output.stdout).expect("a report");
            let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().expect("a number"));
            done += numbers.next().expect("a count");
            longest = longest.max(numbers.next().expect("the longest"));
            worst = worst.max(numbers.next().expect("p99"));
            napped = napped.max(numbers.next().expect("the longest nap"));
        }
        println!(
            "| {count} | {what} | {:.0} | {longest:.1} | {worst:.1} | {napped:.1} |",
            done / FOR.as_secs_f64()
        );
    }
}

/// One of several processes: as much as it can.
fn work(role: &str) {
    let role: Vec<&str> = role.split('|').collect();
    let (path, number) = (Path::new(role[0]), role[2].parse().expect("a number"));
    let naps = std::thread::spawn(longest_nap);
    let mut waits = match role[1] {
        "bare" => update_for(path),
        _ => call_for(path, number),
    };
    waits.sort_unstable();
    let ms = |wait: Duration| wait.as_secs_f64() * 1000.0;
    let (longest, p99) = (waits[waits.len() - 1], waits[waits.len() * 99 / 100]);
    let nap = naps.join().expect("the longest nap");
    println!("{} {} {} {}", waits.len(), ms(longest), ms(p99), ms(nap));
}

fn longest_nap() -> Duration {
    let (end, mut longest) = (Instant::now() + FOR, Duration::ZERO);
    while Instant::now() < end {
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        longest = longest.max(before.elapsed());
    }
    longest
}

fn update_for(path: &Path) -> Vec<Duration> {
    let connection = Connection::open(path).expect("a file");
    connection.pragma_update(None, "synchronous", "NORMAL").expect("a choice");
    connection.busy_timeout(Duration::from_secs(30)).expect("a way of waiting");
    let end = Instant::now() + FOR;
    let mut waits = Vec::new();
    while Instant::now() < end {
        let before = Instant::now();
        update(&connection, waits.len() as u32);
        waits.push(before.elapsed());
    }
    waits
}

fn call_for(path: &Path, number: u64) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let limiter = limiter(path);
    let end = Instant::now() + FOR;
    runtime.block_on(async {
        let first = Caller::new(limiter, number + 1);
        let one = |task: usize| {
            let mut caller = first.beside(task);
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while Instant::now() < end {
                    let before = Instant::now();
                    let taken = caller.reserve().await;
                    waits.push(before.elapsed());
                    if let Some(taken) = taken {
                        caller.settle(taken).await;
                    }
                }
                waits
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(one).collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.expect("a task that ends"));
        }
        waits
    })
}

async fn pairs(mut caller: Caller, count: u32) {
    let mut done = 0;
    while done < count {
        if let Some(taken) = caller.reserve().await {
            caller.settle(taken).await;
            done += 1;
        }
    }
}

struct Caller {
    limiter: SqliteLimiter,
    groups: Vec<Candidate>,
    epoch: u64,
    /// Of all callers of this process: as those of a pool they are one issuer.
    batches: Arc<AtomicU64>,
    /// Goes through the groups.
    turn: usize,
}

impl Caller {
    fn new(limiter: SqliteLimiter, epoch: u64) -> Self {
        let candidate = |number: usize| {
            let group =
                Group { project: format!("p{number}").as_str().into(), model: "gemini-2.5-flash".into() };
            let key = KeyId::parse(&format!("flash_{number}")).expect("an id");
            Candidate { group: Arc::new(group), limits: Limits::default(), key }
        };
        let groups = (0..GROUPS).map(candidate).collect();
        Self { limiter, groups, epoch, batches: Arc::default(), turn: 0 }
    }

    /// Another one of the same process, who begins with another group.
    fn beside(&self, turn: usize) -> Self {
        let (limiter, batches) = (self.limiter.clone(), Arc::clone(&self.batches));
        Self { limiter, groups: self.groups.clone(), epoch: self.epoch, batches, turn }
    }

    /// `None` while the group proves itself.
    async fn reserve(&mut self) -> Option<Reservation> {
        let of = &self.groups[self.turn % GROUPS];
        let ask = Ask { tokens: 1000, probe_ttl: Duration::from_secs(1) };
        let reply = self.limiter.reserve(std::slice::from_ref(of), &[ask], 0).await.expect("an answer");
        reply.grants.into_iter().next().map(|grant| grant.reservation)
    }

    async fn settle(&mut self, taken: Reservation) {
        self.turn += 1;
        let key = self.groups[self.turn % GROUPS].key.clone();
        let tally = Tally { key, used_at: taken.taken_at, successes: 1, errors: 0, abandoned: 0 };
        let disposition = Disposition::Sent { input_tokens: Some(900), proven: true };
        let settlement = Settlement { reservation: taken, disposition };
        let batch = SettleBatch {
            epoch: self.epoch,
            number: self.batches.fetch_add(1, Ordering::Relaxed),
            settlements: vec![settlement],
            tallies: vec![tally],
            ..SettleBatch::default()
        };
        self.limiter.settle(batch).await.expect("an answer");
    }
}

fn limiter(path: &Path) -> SqliteLimiter {
    SqliteOptions::new(PathBuf::from(path)).limiter().expect("a limiter")
}

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a file");
    connection.pragma_update(None, "journal_mode", "WAL").expect("a log");
    connection.pragma_update(None, "synchronous", "NORMAL").expect("a choice");
    let table = "CREATE TABLE t (name TEXT PRIMARY KEY, bytes BLOB) WITHOUT ROWID";
    connection.execute_batch(table).expect("a table");
    for group in 0..GROUPS {
        let row = params![format!("p{group}"), [0_u8; 400]];
        connection.execute("INSERT INTO t VALUES (?1, ?2)", row).expect("a row");
    }
    connection
}

fn update(connection: &Connection, number: u32) {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    run("BEGIN IMMEDIATE").expect("a lock");
    let bytes = [number as u8; 400];
    let name = format!("p{}", number as usize % GROUPS);
    let update = "UPDATE t SET bytes = ?1 WHERE name = ?2";
    connection.prepare_cached(update).and_then(|mut one| one.execute(params![bytes, name])).expect("a row");
    run("COMMIT").expect("a commit");
}

/// What one operation took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    /// Of all threads of this process.
    cpu: Duration,
}

fn measure(count: u32, run: impl FnOnce()) -> Took {
    let (wall, cpu) = (Instant::now(), cpu());
    run();
    Took { wall: wall.elapsed() / count, cpu: (self::cpu() - cpu) / count }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a time after the start")
}

/// Of each by itself.
fn median(rounds: &[Took]) -> Took {
    let middle = |of: fn(&Took) -> Duration| {
        let mut sorted: Vec<Duration> = rounds.iter().map(of).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    Took { wall: middle(|took| took.wall), cpu: middle(|took| took.cpu) }
}
