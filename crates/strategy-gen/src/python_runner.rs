//! Runs strategies with CPython in the sandbox: once in full, and once more in a second interpreter with another
//! hash seed.

use std::fs;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::backtest::Backtest;
use crate::fault::{Fault, Reason, Stage};
use crate::finding::{Finding, Rule};
use crate::python::PythonEnvironment;
use crate::run_folder::RunFolder;
use crate::runner::{CannotRun, Run, Runner, Task};
use crate::sandbox::{Ended, Isolation, Program, Sandbox};
use crate::sandbox_seal;

/// The trusted part that runs in the interpreter.
const RUNNER: &str = include_str!("runner.py");

/// Runs strategies in a Python environment, in a sandbox.
#[derive(Clone, Debug)]
pub struct PythonRunner {
    environment: PythonEnvironment,
    sandbox: Sandbox,
    /// More runs at a time than processors would only wait for each other with their clocks running.
    places: Arc<Semaphore>,
}

impl PythonRunner {
    /// With this environment and this sandbox. It and its clones run as many at a time as there are processors.
    pub fn new(environment: PythonEnvironment, sandbox: Sandbox) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { environment, sandbox, places: Arc::new(Semaphore::new(processors)) }
    }

    fn program(&self, folder: &Path, job: Job) -> Program {
        let (program, mut read) = self.environment.files();
        read.push(folder.to_owned());
        let arguments = ["-s", "-B", "-X", "utf8"].map(str::to_owned).into_iter().chain(
            [&*folder.join("runner.py").to_string_lossy(), &*folder.to_string_lossy(), job.name()]
                .map(str::to_owned),
        );
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Program {
            program: self.environment.python().to_owned(),
            arguments: arguments.collect(),
            // All that the program gets. Isolated mode (-I) would ignore the seed.
            environment: vec![
                variable("PYTHONHASHSEED", job.hash_seed()),
                variable("PYTHONSAFEPATH", "1"),
                variable("OPENBLAS_NUM_THREADS", "1"),
            ],
            read,
            execute: vec![program],
            scratch: folder.join(job.scratch()),
        }
    }

    async fn interpret(&self, folder: &Path, job: Job) -> Result<Ended, CannotRun> {
        self.sandbox.run(&self.program(folder, job)).await
    }

    /// What a run has shown. If it ended before it came to the strategy, the environment is at fault.
    fn told(&self, ended: &Ended, task: &Task) -> Result<Told, CannotRun> {
        let report = ended.output.strip_prefix(LOADED).ok_or_else(|| not_loaded(ended))?;
        let read = serde_json::from_slice::<Line>(report);
        if let (Err(error), false) = (&read, report.is_empty()) {
            tracing::debug!(%error, "the report of a run cannot be read");
        }
        Ok(match read {
            Ok(line) if !ended.timed_out => line.told(task),
            _ => {
                let fault = silent(ended, self.sandbox.limits.cpu);
                Told { result: Err(fault), took: vec![(Stage::Backtest, ended.cpu)] }
            }
        })
    }
}

/// What runner.py writes when all but the strategy has been loaded.
const LOADED: &[u8] = b"loaded\n";

fn not_loaded(ended: &Ended) -> CannotRun {
    let complaint = ended.complaint.lines().rev().map(str::trim).find(|line| !line.is_empty());
    CannotRun::BrokenPython(match complaint {
        _ if ended.timed_out => "backtesting was not loaded in time".to_owned(),
        Some(complaint) => complaint.to_owned(),
        None => format!("the interpreter ended with {} before it had loaded backtesting", ended.status),
    })
}

/// The two interpreters.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// Runs it twice, and all the perturbed runs.
    Full,
    /// Runs it once more.
    Again,
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Again => "again",
        }
    }

    fn scratch(self) -> &'static str {
        match self {
            Self::Full => "scratch-full",
            Self::Again => "scratch-again",
        }
    }

    fn hash_seed(self) -> &'static str {
        match self {
            Self::Full => "1",
            Self::Again => "2",
        }
    }
}

#[async_trait]
impl Runner for PythonRunner {
    async fn run(&self, task: &Task) -> Result<Run, CannotRun> {
        // Nobody closes it.
        let _place = self.places.acquire().await;
        let seal = match self.sandbox.isolation {
            Isolation::None => None,
            _ => Some(sandbox_seal::hexadecimal().map_err(CannotRun::NoIsolation)?),
        };
        let folder = prepare(task, seal.as_deref()).map_err(|error| {
            let help = "make room there, or name another place with TMPDIR";
            CannotRun::Broken(format!("the folder for a run cannot be prepared: {error}; {help}"))
        })?;
        let again = pin!(self.interpret(folder.path(), Job::Again));
        let full = pin!(self.interpret(folder.path(), Job::Full));
        // Both at once. What the first one finds wrong needs no second one: dropping that ends it.
        let (full, again) = match select(full, again).await {
            Either::Left((full, again)) => {
                let told = self.told(&full?, task)?;
                if told.result.is_err() {
                    return Ok(told.run());
                }
                (told, again.await?)
            }
            Either::Right((again, full)) => {
                let again = again?;
                (self.told(&full.await?, task)?, again)
            }
        };
        Ok(full.compared_with(self.told(&again, task)?).run())
    }
}

/// A folder with all that the runner reads.
fn prepare(task: &Task, seal: Option<&str>) -> io::Result<RunFolder> {
    let folder = RunFolder::new()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    write("runner.py", RUNNER)?;
    write("strategy.py", &task.code)?;
    if let Some(csv) = task.prices.csv() {
        write("prices.csv", csv)?;
    }
    for job in [Job::Full, Job::Again] {
        fs::create_dir(folder.path().join(job.scratch()))?;
        let text = json!({
            "sample": task.prices.sample(),
            "cash": task.cash,
            "commission": task.commission,
            "full": matches!(job, Job::Full),
            "seal": seal,
        });
        write(&format!("{}.json", job.name()), &text.to_string())?;
    }
    Ok(folder)
}

/// What an interpreter has told.
struct Told {
    result: Result<Shown, Fault>,
    took: Vec<(Stage, Duration)>,
}

#[derive(Deserialize)]
struct Shown {
    fingerprint: String,
    /// Of the full run only.
    #[serde(default)]
    backtest: Backtest,
}

/// The line that runner.py writes.
#[derive(Deserialize)]
struct Line {
    took: Took,
    #[serde(default)]
    result: Option<Shown>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    traceback: Option<String>,
    #[serde(default)]
    line: usize,
    #[serde(default)]
    column: usize,
}

#[derive(Deserialize)]
struct Took {
    compile: Option<f64>,
    backtest: Option<f64>,
}

impl Told {
    /// A second interpreter must have shown the same; one that ended otherwise has not.
    fn compared_with(mut self, other: Self) -> Self {
        if let Ok(shown) = &mut self.result {
            let same = |other: Shown| other.fingerprint == shown.fingerprint;
            shown.backtest.same_elsewhere = other.result.is_ok_and(same);
        }
        self
    }

    fn run(self) -> Run {
        Run::new(self.result.map(|shown| shown.backtest), self.took)
    }
}

impl Line {
    fn told(self, task: &Task) -> Told {
        let seconds = |seconds: Option<f64>| Duration::try_from_secs_f64(seconds?).ok();
        let took: Vec<(Stage, Duration)> =
            [(Stage::Compile, seconds(self.took.compile)), (Stage::Backtest, seconds(self.took.backtest))]
                .into_iter()
                .filter_map(|(stage, took)| Some((stage, took?)))
                .collect();
        if let Some(shown) = self.result {
            return Told { result: Ok(shown), took };
        }
        let fault = match self.reason.as_str() {
            "syntax" => {
                let hint = "Correct this line.";
                let finding =
                    Finding::new(Rule::Syntax, &task.code, self.line, self.column, self.message, hint);
                Fault::of(Stage::Compile, &finding.into())
            }
            reason => {
                let (reason, hint) = known(reason);
                let fault = Fault::new(Stage::Backtest, reason, self.message, hint);
                match self.traceback {
                    Some(traceback) => fault.traceback(traceback),
                    None => fault,
                }
            }
        };
        Told { result: Err(fault), took }
    }
}

/// The runner's word for a reason, and what to do about it.
fn known(reason: &str) -> (Reason, &'static str) {
    match reason {
        "time-limit" => (Reason::TimeLimit, TOO_LONG),
        "memory-limit" => (Reason::MemoryLimit, TOO_LARGE),
        "process-limit" => (Reason::ProcessLimit, "Start no process and no thread."),
        "exited" => (Reason::Exited, "Let next return; do not end the program."),
        "no-strategy" => (Reason::Rule(Rule::NoStrategy), "Define one class that derives from Strategy."),
        _ => (Reason::Exception, "Correct the cause of this exception."),
    }
}

const TOO_LONG: &str = "Leave no loop without an end; compute indicators in init, with numpy or pandas.";
const TOO_LARGE: &str = "Keep no more than a few arrays as long as the prices.";

/// Why an interpreter ended without a report.
fn silent(ended: &Ended, limit: Duration) -> Fault {
    let fault = |reason, message: String, hint: &str| Fault::new(Stage::Backtest, reason, message, hint);
    let used = ended.cpu.as_secs_f64();
    if ended.timed_out {
        return fault(
            Reason::TimeLimit,
            format!("it was ended after {used:.0} s of processor time"),
            TOO_LONG,
        );
    }
    let signal = ended.signal().and_then(rustix::process::Signal::from_named_raw);
    match signal {
        Some(rustix::process::Signal::XCPU) => {
            fault(Reason::TimeLimit, format!("it used {used:.0} s of processor time"), TOO_LONG)
        }
        // The processor time has a soft limit and a hard one.
        Some(rustix::process::Signal::KILL) if used >= CPU_SHARE * limit.as_secs_f64() => {
            fault(Reason::TimeLimit, format!("it used {used:.0} s of processor time"), TOO_LONG)
        }
        Some(rustix::process::Signal::KILL) => fault(
            Reason::MemoryLimit,
            "the kernel ended it, most likely for its memory".to_owned(),
            TOO_LARGE,
        ),
        Some(signal) => fault(
            Reason::Crash,
            format!("the interpreter died of signal {}", signal.as_raw()),
            "Reach no memory past the end of an array; use plain indexing.",
        ),
        None if ended.complaint.contains("MemoryError") => {
            fault(Reason::MemoryLimit, "it ran out of memory".to_owned(), TOO_LARGE)
        }
        None => fault(
            Reason::Exited,
            format!("the interpreter ended without a report ({})", ended.status),
            "Let next return; do not end the program.",
        ),
    }
}

/// What the kernel tells of a process on a busy machine is rough.
const CPU_SHARE: f64 = 0.7;
