//! From a description to a strategy: ask, extract, check, and send back once what cannot be used.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{CallError, GenerateError};
use crate::extract::extract;
use crate::finding::{Finding, Rule};
use crate::model::{Finish, LanguageModel, OnProgress, Progress, Reply};
use crate::options::GenerateOptions;
use crate::prompt::{ask_for_code, repair, request};
use crate::report::{Spent, Strategy};
use crate::syntax::check;
use crate::version::same_model;

/// Turns descriptions into strategies. Cheap to clone; clones share the model and its pool.
#[derive(Clone, Debug)]
pub struct StrategyGenerator {
    model: Arc<dyn LanguageModel>,
}

/// A reply that can be used.
struct Usable {
    code: String,
    class_name: String,
    warnings: Vec<String>,
}

/// A reply that cannot.
struct Unusable {
    /// Empty if the reply holds none.
    code: String,
    finding: Finding,
}

impl StrategyGenerator {
    /// A generator that asks this model.
    pub fn new(model: impl LanguageModel) -> Self {
        Self { model: Arc::new(model) }
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
        let mut spent = Box::<Spent>::default();
        let mut elapsed = Duration::ZERO;
        let mut prompt = request(description, options);
        let mut finding: Option<Finding> = None;
        let mut round = 0;
        loop {
            let left = options.deadline.saturating_sub(elapsed);
            let mut with_round = |progress: Progress| on_progress(Progress { round, ..progress });
            let asked = self.model.ask(&prompt, options.key_request(&prompt, left), &mut with_round).await;
            let mut reply = asked.map_err(|error| call_failed(error, finding.take(), &mut spent))?;
            spent.attempts.append(&mut reply.attempts);
            spent.usage.add(&reply.usage);
            elapsed += reply.elapsed;
            ended_well(&reply, options, &mut spent)?;
            let unusable = match judge(&reply, options) {
                Ok(usable) => return Ok(deliver(usable, reply, options, *spent, round > 0)),
                Err(unusable) => unusable,
            };
            let model = reply.model.to_string();
            tracing::debug!(%model, round, rule = unusable.finding.rule.name(), "reply cannot be used");
            if round >= options.repairs || elapsed >= options.deadline {
                let Unusable { code, finding } = unusable;
                let finding = Box::new(finding);
                return Err(GenerateError::Invalid { finding, code, model, replies: round + 1, spent });
            }
            prompt = if unusable.code.is_empty() {
                ask_for_code(description, options, &unusable.finding)
            } else {
                repair(&unusable.code, &unusable.finding, options.max_output_tokens)
            };
            finding = Some(unusable.finding);
            round += 1;
        }
    }
}

fn call_failed(mut error: CallError, finding: Option<Finding>, spent: &mut Box<Spent>) -> GenerateError {
    spent.attempts.append(&mut error.attempts);
    GenerateError::Call { cause: error.cause, finding: finding.map(Box::new), spent: std::mem::take(spent) }
}

/// A reply that is blocked or cut off is never judged by its text.
fn ended_well(reply: &Reply, options: &GenerateOptions, spent: &mut Box<Spent>) -> Result<(), GenerateError> {
    let model = reply.model.to_string();
    let mut take = || std::mem::take(spent);
    Err(match &reply.finish {
        Finish::Complete => return Ok(()),
        Finish::OutputLimit => {
            let max_output_tokens = options.max_output_tokens;
            GenerateError::Truncated { model, max_output_tokens, spent: take() }
        }
        Finish::Blocked(blocked) => GenerateError::Blocked { blocked: blocked.clone(), model, spent: take() },
        Finish::Other(reason) => GenerateError::Unfinished { reason: reason.clone(), model, spent: take() },
    })
}

fn judge(reply: &Reply, options: &GenerateOptions) -> Result<Usable, Unusable> {
    let Some(found) = extract(&reply.text) else {
        return Err(Unusable { code: String::new(), finding: no_code(&reply.text) });
    };
    let code = found.code;
    let checked = match check(&code) {
        Ok(checked) => checked,
        Err(finding) => return Err(Unusable { code, finding }),
    };
    let mut warnings = Vec::new();
    if found.unclosed {
        warnings.push("The code block of the reply was not closed; its end may be missing.".to_owned());
    }
    match options.class_name.as_deref() {
        Some(wanted) if wanted != checked.class_name => {
            warnings.push(format!("The model named the class {}; it was renamed.", checked.class_name));
            match checked.rename(&code, wanted) {
                Ok(code) => Ok(Usable { code, class_name: wanted.to_owned(), warnings }),
                Err(finding) => Err(Unusable { code, finding }),
            }
        }
        _ => Ok(Usable { code, class_name: checked.class_name, warnings }),
    }
}

/// How much of a reply without code is shown.
const SHOWN_CHARS: usize = 200;

fn no_code(text: &str) -> Finding {
    let hint = "Reply with one block that begins with ```python and holds the module.";
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        return Finding::without_place(Rule::NoCode, "the reply is empty", hint);
    }
    let shown: String = words.chars().take(SHOWN_CHARS).collect();
    let more = if shown.len() < words.len() { " ..." } else { "" };
    Finding::without_place(Rule::NoCode, format!("the reply holds no Python code: {shown:?}{more}"), hint)
}

fn deliver(
    usable: Usable,
    reply: Reply,
    options: &GenerateOptions,
    spent: Spent,
    repaired: bool,
) -> Strategy {
    let Usable { code, class_name, mut warnings } = usable;
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
        attempts: spent.attempts,
        usage: spent.usage,
        repaired,
        warnings,
    }
}
