//! The end of `keyrot demo`: what was generated is run in the sandbox, each different strategy once.

use keyrot_core::Vars;
use serde::Serialize;
use strategy_gen::{CannotRun, Pipeline};

use crate::{delivery, verify};

/// What running the strategies has shown.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verification {
    /// How many were different.
    different: usize,
    verified: usize,
    /// The others, in words.
    failed: Vec<String>,
    /// Why none was run, and what to do about it.
    not_run: Option<String>,
}

impl Verification {
    /// Runs each of these modules. `progress` gets a line for each.
    pub(crate) async fn of(modules: &[String], progress: &mut (dyn FnMut(String) + Send)) -> Self {
        let pipeline = verify::quietly(&places());
        if let Some(why) = pipeline.not_run() {
            return Self { different: modules.len(), ..Self::not_run(why) };
        }
        let mut all = Self { different: modules.len(), ..Self::default() };
        for (number, code) in modules.iter().enumerate() {
            progress(format!("running strategy {} of {} in the sandbox", number + 1, modules.len()));
            all.add(&pipeline, code).await;
        }
        all
    }

    async fn add(&mut self, pipeline: &Pipeline, code: &str) {
        let report = pipeline.verify_code(code).await;
        match (report.fault, report.not_run) {
            (None, None) => self.verified += 1,
            (Some(fault), _) => self.failed.push(fault.to_string()),
            (None, Some(why)) => self.not_run = Self::not_run(&why).not_run,
        }
    }

    fn not_run(why: &CannotRun) -> Self {
        let text = match why {
            CannotRun::NoPython(_) => "run keyrot python setup".to_owned(),
            other => format!("{other}; {}", delivery::advice(other)),
        };
        Self { not_run: Some(text), ..Self::default() }
    }

    /// True if all that was run is good.
    pub(crate) fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { different, verified, failed, not_run } = self;
        let mut text = match not_run {
            Some(why) => format!("not verified: {why}"),
            None => format!("{different} different strategies were run in the sandbox: {verified} verified"),
        };
        for fault in failed {
            text.push_str("\n\nnot good: ");
            text.push_str(fault);
        }
        text
    }
}

/// Where the Python environment may be. The demonstration looks at nothing else of the user's.
fn places() -> Vars {
    let names = ["HOME", "XDG_DATA_HOME"];
    #[expect(clippy::disallowed_methods, reason = "the demonstration reads no other variable and no file")]
    let value = |name: &'static str| Some((name, std::env::var(name).ok()?));
    names.into_iter().filter_map(value).collect()
}
