//! What is delivered of what was generated, and how it is marked when it is not verified.

use strategy_gen::{CannotRun, Fault, GenerateError, Strategy};

use crate::failure::Failure;

/// Begins the first line of code that is not verified.
pub(crate) const MARK: &str = "# NOT VERIFIED";

/// Most characters of the reason in the mark.
const MARK_CHARS: usize = 200;

/// The strategy to deliver: a verified one as it is; one that was not run with a mark, unless running was not asked for;
/// one that was run and found wanting only if that is wished, with a mark as well.
pub(crate) fn choose(
    generated: Result<Strategy, GenerateError>,
    require_verified: bool,
    allow_unverified: bool,
) -> Result<Strategy, Failure> {
    match generated {
        Ok(strategy) => match strategy.report.not_run.clone() {
            Some(why) if require_verified => Err(withheld(&why)),
            Some(CannotRun::NotAsked) | None => Ok(strategy),
            Some(why) => Ok(marked(strategy, cause(&why), format!("not verified: {why}; {}", advice(&why)))),
        },
        Err(error) => {
            let Some((strategy, fault)) = rejected(&error) else { return Err(error.into()) };
            if !allow_unverified {
                let hint = "--allow-unverified delivers what has passed the gate all the same";
                return Err(Failure::from(error).adding(hint));
            }
            let why = format!("{}: {}", fault.stage.name(), fault.message);
            let warning = match &error {
                GenerateError::Invalid { .. } => format!("not verified: {fault}"),
                other => format!("not verified: {fault}\nnor corrected: {other}"),
            };
            Ok(marked(strategy.clone(), &why, warning))
        }
    }
}

/// What there is to deliver all the same, and what is wrong with it. What has not passed the gate is no strategy.
fn rejected(error: &GenerateError) -> Option<(&Strategy, &Fault)> {
    let best = error.best().filter(|best| !best.class_name.is_empty())?;
    Some((best, best.report.fault.as_ref()?))
}

/// Without the places of this machine: the code may go elsewhere.
fn cause(why: &CannotRun) -> &'static str {
    match why {
        CannotRun::NoPython(_) => "it was not run, for want of a Python environment",
        CannotRun::BrokenPython(_) => "it was not run, for the Python environment is broken",
        CannotRun::NoIsolation(_) => "it was not run, for want of a sandbox",
        _ => "it was not run",
    }
}

/// Nothing was run, and only what was run is wanted.
pub(crate) fn withheld(why: &CannotRun) -> Failure {
    Failure::failed(format!("nothing can be verified: {why}; {}", advice(why)))
}

/// What to do so that strategies are run.
pub(crate) fn advice(why: &CannotRun) -> &'static str {
    match why {
        CannotRun::NotAsked => "leave out --no-verify",
        CannotRun::NoPython(_) => "run `keyrot python setup` once",
        CannotRun::BrokenPython(_) => "run `keyrot python setup --force` to make it anew",
        CannotRun::NoIsolation(_) if cfg!(target_os = "linux") => {
            "verify it on a machine that can, after `keyrot python setup` there; --unsafe-no-sandbox runs it here all \
             the same, with all that you may do"
        }
        CannotRun::NoIsolation(_) => "verify it on Linux, after `keyrot python setup` there",
        _ => "try again",
    }
}

fn marked(mut strategy: Strategy, why: &str, warning: String) -> Strategy {
    let why: Vec<&str> = why.split_whitespace().collect();
    let why: String = why.join(" ").chars().take(MARK_CHARS).collect();
    strategy.code = format!("{MARK}: {why}\n{}", strategy.code);
    // First, for it says most.
    strategy.warnings.insert(0, warning);
    strategy
}
