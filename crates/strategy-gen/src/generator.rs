//! From a description to a strategy: ask, verify, and send back what is not good enough.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{CallError, GenerateError};
use crate::fault::Fault;
use crate::finding::Finding;
use crate::model::{Finish, LanguageModel, OnProgress, Progress, Reply};
use crate::options::GenerateOptions;
use crate::pipeline::Pipeline;
use crate::prompt::{Prompt, again, improve, repair, request};
use crate::report::{Spent, Strategy};
use crate::verification::Report;
use crate::version::same_model;

/// Turns descriptions into strategies. Cheap to clone; clones share the model and its pool.
#[derive(Clone, Debug)]
pub struct StrategyGenerator {
    model: Arc<dyn LanguageModel>,
    pipeline: Pipeline,
}

/// A module that was found in a reply, as far as it came.
struct Found {
    /// Empty if there was none.
    code: String,
    class_name: String,
    warnings: Vec<String>,
    report: Report,
}

impl StrategyGenerator {
    /// A generator that asks this model.
    pub fn new(model: impl LanguageModel) -> Self {
        Self { model: Arc::new(model), pipeline: Pipeline::default() }
    }

    /// Verifies each reply with this pipeline; without it a reply only passes the gate.
    #[must_use]
    pub fn pipeline(mut self, pipeline: Pipeline) -> Self {
        self.pipeline = pipeline;
        self
    }

    /// Generates a strategy.
    ///
    /// One call, and one more for each repair that is needed and allowed. A prompt or reply that the
    /// provider blocks and a reply that is cut off end it at once.
    pub async fn generate(
        &self,
        description: &str,
        options: &GenerateOptions,
    ) -> Result<Strategy, GenerateError> {
        self.generate_with_progress(description, options, &mut |_| ()).await
    }

    /// As [`generate`](Self::generate), and says how far each reply has come while it arrives.
    pub async fn generate_with_progress(
        &self,
        description: &str,
        options: &GenerateOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Strategy, GenerateError> {
        if description.trim().is_empty() {
            return Err(GenerateError::EmptyDescription);
        }
        options.validate()?;
        self.ask_until_good(request(description, options), options, on_progress).await
    }

    /// Changes a module as the wish says: "make it short as well".
    pub async fn improve(
        &self,
        code: &str,
        wish: &str,
        options: &GenerateOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Strategy, GenerateError> {
        if wish.trim().is_empty() {
            return Err(GenerateError::EmptyDescription);
        }
        options.validate()?;
        self.ask_until_good(improve(code, wish, options), options, on_progress).await
    }

    /// Corrects a module in which [`Pipeline::verify_code`] has found this.
    pub async fn fix(
        &self,
        code: &str,
        fault: &Fault,
        options: &GenerateOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Strategy, GenerateError> {
        options.validate()?;
        self.ask_until_good(repair(code, fault, options), options, on_progress).await
    }

    async fn ask_until_good(
        &self,
        first: Prompt,
        options: &GenerateOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Strategy, GenerateError> {
        let mut spent = Box::<Spent>::default();
        let mut elapsed = Duration::ZERO;
        let mut prompt = first.clone();
        // The best of the replies that were not good enough.
        let mut best: Option<(Fault, Strategy)> = None;
        let mut last: Option<Fault> = None;
        let mut round = 0;
        loop {
            let left = options.deadline.saturating_sub(elapsed);
            let mut with_round = |progress: Progress| on_progress(Progress { round, ..progress });
            let asked = self.model.ask(&prompt, options.key_request(&prompt, left), &mut with_round).await;
            let mut reply = match asked {
                Ok(reply) => reply,
                Err(error) => return Err(call_failed(error, last, best, spent)),
            };
            spent.attempts.append(&mut reply.attempts);
            spent.usage.add(&reply.usage);
            elapsed += reply.elapsed;
            if reply.finish != Finish::Complete {
                return Err(ended_badly(&reply, options, best, spent));
            }
            if self.pipeline.runs() {
                with_round(Progress { testing: true, ..Progress::default() });
            }
            let found = self.test(&reply.text, options).await;
            elapsed += found.report.ran();
            let fault = found.report.fault.clone();
            let strategy = strategy(found, reply, options, round > 0);
            let Some(fault) = fault else {
                let Spent { attempts, usage } = *spent;
                return Ok(Strategy { attempts, usage, ..strategy });
            };
            let (model, stage, reason) = (&strategy.model, fault.stage.name(), fault.reason.name());
            tracing::debug!(%model, round, stage, reason, "reply cannot be used");
            prompt = match strategy.code.as_str() {
                "" => again(first.clone(), &fault),
                code => repair(code, &fault, options),
            };
            if best.as_ref().is_none_or(|(before, _)| before.stage <= fault.stage) {
                best = Some((fault.clone(), strategy));
            }
            round += 1;
            if (round > options.repairs || elapsed >= options.deadline)
                && let Some((fault, strategy)) = best
            {
                let (fault, strategy) = (Box::new(fault), after(strategy, &spent));
                return Err(GenerateError::Invalid { fault, strategy, replies: round, spent });
            }
            last = Some(fault);
        }
    }

    /// What is in a reply, and how good it is.
    async fn test(&self, text: &str, options: &GenerateOptions) -> Found {
        let mut found = Found {
            code: String::new(),
            class_name: String::new(),
            warnings: Vec::new(),
            report: Report::default(),
        };
        let Some(extracted) = self.pipeline.extract(text, &mut found.report) else { return found };
        found.code.clone_from(&extracted.code);
        let checked = self.pipeline.check(&found.code, &mut found.report);
        found.report.told(&extracted);
        let Some(checked) = checked else { return found };
        if extracted.unclosed {
            found
                .warnings
                .push("The code block of the reply was not closed; its end may be missing.".to_owned());
        }
        found.class_name.clone_from(&checked.class_name);
        if let Some(wanted) = options.class_name.as_deref().filter(|wanted| *wanted != checked.class_name) {
            match checked.rename(&found.code, wanted) {
                Ok(code) => found.code = code,
                Err(finding) => {
                    self.pipeline.refuse(&finding.into(), &mut found.report);
                    return found;
                }
            }
            found.warnings.push(format!("The model named the class {}; it was renamed.", checked.class_name));
            found.class_name = wanted.to_owned();
        }
        // A new name moves no attribute that anybody asked for, but it moves the places of the findings.
        let checked = if found.class_name == checked.class_name {
            Some(checked)
        } else {
            self.pipeline.check_again(&found.code)
        };
        if let Some(Err(findings)) = checked.map(|checked| checked.has(&options.parameters, &found.code)) {
            self.pipeline.refuse(&findings, &mut found.report);
            return found;
        }
        self.pipeline.run(&found.code, &mut found.report).await;
        found
    }
}

fn call_failed(
    mut error: CallError,
    fault: Option<Fault>,
    best: Option<(Fault, Strategy)>,
    mut spent: Box<Spent>,
) -> GenerateError {
    spent.attempts.append(&mut error.attempts);
    let best = best.map(|(_, strategy)| after(strategy, &spent));
    GenerateError::Call { cause: error.cause, fault: fault.map(Box::new), best, spent }
}

/// A reply that is blocked or cut off is never judged by its text.
fn ended_badly(
    reply: &Reply,
    options: &GenerateOptions,
    best: Option<(Fault, Strategy)>,
    spent: Box<Spent>,
) -> GenerateError {
    let model = reply.model.to_string();
    let best = best.map(|(_, strategy)| after(strategy, &spent));
    match &reply.finish {
        Finish::Blocked(blocked) => GenerateError::Blocked { blocked: blocked.clone(), model, best, spent },
        Finish::Other(reason) => GenerateError::Unfinished { reason: reason.clone(), model, best, spent },
        Finish::OutputLimit | Finish::Complete => {
            let max_output_tokens = options.max_output_tokens;
            GenerateError::Truncated { model, max_output_tokens, best, spent }
        }
    }
}

/// The same with what all calls together have cost.
fn after(strategy: Strategy, spent: &Spent) -> Box<Strategy> {
    let Spent { attempts, usage } = spent.clone();
    Box::new(Strategy { attempts, usage, ..strategy })
}

/// What one reply gave, with what that reply has cost.
fn strategy(found: Found, reply: Reply, options: &GenerateOptions, repaired: bool) -> Strategy {
    let Found { code, class_name, mut warnings, report } = found;
    if !report.verified {
        // A verified strategy has been shown not to do what these suspect.
        warnings.extend(report.warnings.iter().map(|finding| {
            let Finding { line, message, rule, .. } = finding;
            format!("Line {line}: {message} [{}].", rule.name())
        }));
    }
    if let Some(answered) = &reply.model_version
        && !same_model(reply.model.as_str(), answered)
    {
        warnings.push(format!("{} was asked, {answered} answered.", reply.model));
    }
    if let Some(wanted) = &options.model
        && *wanted != reply.model
    {
        warnings.push(format!("No key could serve {wanted}; its fallback {} was asked.", reply.model));
    }
    Strategy {
        code,
        class_name,
        model: reply.model,
        model_version: reply.model_version,
        key_id: reply.key_id,
        attempts: reply.attempts,
        usage: reply.usage,
        repaired,
        verified: report.verified,
        report,
        warnings,
    }
}
