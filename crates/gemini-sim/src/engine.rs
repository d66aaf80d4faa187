//! The service itself: decides about every call, without IO and without a clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::answer::{Answer, Usage};
use crate::attempt::{Attempt, Record, Ruling};
use crate::bodies::{self, Refusal};
use crate::call::{Call, Credential, Operation, tokens};
use crate::catalog::Model;
use crate::check::ConfigError;
use crate::config::{Config, Secret};
use crate::fault::{Fault, FaultKind, Stage, Target};
use crate::pacific::PacificDay;
use crate::quota::{self, Dimension, Quota};
use crate::state::{FaultState, QuotaState, State};
use crate::strategy;
use crate::trouble::{Scene, spoil};
use crate::verdict::{Reply, Verdict};

/// The simulated service. `Send`, cheap, and the same for the same seed and calls.
///
/// ```
/// use gemini_sim::{Call, Config, Engine, Limits, Project};
/// let config = Config::default()
///     .project(Project::new("alpha").key("a1", "secret").limit("gemini-3.8-flash", Limits::default().rpm(1)));
/// let start = 1_767_614_400_000; // ms since 1970
/// let mut engine = Engine::new(config, 7, start)?;
/// let call = Call::generate("secret", "gemini-flash-latest", "Buy when RSI < 30, sell when RSI > 70");
/// assert_eq!(engine.arrive(start, &call).status(), Some(200));
/// assert_eq!(engine.arrive(start + 1, &call).status(), Some(429));
/// assert_eq!(engine.arrive(start + 60_000, &call).status(), Some(200));
/// assert_eq!(engine.attempts().count(), 3);
/// # Ok::<(), gemini_sim::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    config: Config,
    rng: Rng,
    seed: u64,
    keys: HashMap<Secret, KeyPlace>,
    projects: Vec<Arc<str>>,
    quotas: HashMap<(usize, usize), Quota>,
    faults: Vec<(Fault, u64)>,
    record: Record,
    start_ms: u64,
    now_ms: u64,
    day: PacificDay,
}

#[derive(Clone, Debug)]
struct KeyPlace {
    id: Arc<str>,
    project: usize,
}

impl Engine {
    /// A service that begins at `start_ms` (ms since 1970) with empty books.
    ///
    /// # Errors
    /// If [`Config::check`] finds a problem.
    pub fn new(config: Config, seed: u64, start_ms: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let mut keys = HashMap::new();
        for (project, settings) in config.projects.iter().enumerate() {
            for key in &settings.keys {
                keys.insert(key.secret.trimmed(), KeyPlace { id: key.id.as_str().into(), project });
            }
        }
        Ok(Self {
            rng: Rng::with_seed(seed),
            seed,
            keys,
            projects: config.projects.iter().map(|project| project.id.as_str().into()).collect(),
            quotas: HashMap::new(),
            faults: config.faults.iter().map(|fault| (fault.clone(), 0)).collect(),
            record: Record::new(config.record_limit),
            config,
            start_ms,
            now_ms: start_ms,
            day: PacificDay::of(start_ms),
        })
    }

    /// Decides about a call that arrives now (ms since 1970) and records it. Time never runs backwards: an earlier
    /// `now_ms` than before counts as the latest one.
    pub fn arrive(&mut self, now_ms: u64, call: &Call<'_>) -> Verdict {
        self.advance(now_ms);
        let (secret, key_in_url) = match call.credential {
            Credential::Header(secret) => (secret.trim(), false),
            Credential::Url(secret) => (secret.trim(), true),
            Credential::Missing | Credential::Bearer | Credential::Several => ("", false),
        };
        let place = self.keys.get(secret).cloned();
        let (ruling, reply, extra) = match (call.credential, &place) {
            (Credential::Several, _) => {
                (Ruling::BadRequest, Reply::Refused(bodies::several_credentials()), 0)
            }
            (Credential::Bearer, _) => (Ruling::BadRequest, Reply::Refused(bodies::unauthenticated()), 0),
            (_, None) if secret.is_empty() => (Ruling::KeyUnknown, Reply::Refused(bodies::key_missing()), 0),
            (_, None) => (Ruling::KeyUnknown, Reply::Refused(bodies::key_invalid(bodies::KEY_NOT_VALID)), 0),
            (_, Some(place)) => self.serve(call, place, secret),
        };
        let answers = matches!(reply, Reply::Answer(_) | Reply::Granted);
        let latency = if answers { self.config.latency } else { self.config.refusal_latency };
        let verdict = Verdict {
            latency: latency.draw(&mut self.rng) + Duration::from_millis(extra),
            chunk_latency: self.config.chunk_latency.draw(&mut self.rng),
            reply,
        };
        let project = place.as_ref().map(|place| Arc::clone(&self.projects[place.project]));
        self.record.push(Attempt {
            number: self.record.next(),
            time_ms: self.now_ms,
            key_id: place.map(|place| place.id),
            project,
            model: call.model.into(),
            operation: call.operation,
            verdict: ruling,
            status: verdict.status(),
            latency_ms: u64::try_from(verdict.latency.as_millis()).unwrap_or(u64::MAX),
            input_tokens: call.input_tokens,
            structured: call.schema.is_some(),
            key_in_url,
        });
        verdict
    }

    /// What became of each call so far, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.record.iter()
    }

    /// How many attempts are no longer kept because of `record_limit`.
    pub fn forgotten(&self) -> u64 {
        self.record.forgotten()
    }

    /// The models that `models.list` shows.
    pub fn models(&self) -> &[Model] {
        &self.config.models
    }

    /// The model that answers for this name: itself, or an alias's target.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.model_index(name).map(|index| &self.config.models[index])
    }

    /// Adds a fault behind those that exist; its times count from the start or the last reset.
    ///
    /// # Errors
    /// If a filter names nothing that exists or a number is out of range.
    pub fn add_fault(&mut self, fault: Fault) -> Result<(), String> {
        let problems = self.config.check_fault(&fault);
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        self.faults.push((fault, 0));
        Ok(())
    }

    /// Removes all faults, configured ones too (a reset brings those back).
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Empty books, no record, the configured faults; fault times count from `now_ms`.
    pub fn reset(&mut self, now_ms: u64) {
        self.advance(now_ms);
        self.rng = Rng::with_seed(self.seed);
        self.quotas.clear();
        self.faults = self.config.faults.iter().map(|fault| (fault.clone(), 0)).collect();
        self.record = Record::new(self.config.record_limit);
        self.start_ms = self.now_ms;
    }

    /// What is used of each limit, and how often each fault has struck.
    pub fn state(&mut self, now_ms: u64) -> State {
        self.advance(now_ms);
        let (now_ms, day) = (self.now_ms, self.day);
        let mut quotas: Vec<QuotaState> = self
            .quotas
            .iter_mut()
            .map(|((project, model), quota)| {
                let model = &self.config.models[*model].name;
                QuotaState::new(&self.projects[*project], model, quota.used(now_ms, day))
            })
            .collect();
        quotas.sort_by(|a, b| (&a.project, &a.model).cmp(&(&b.project, &b.model)));
        State {
            now_ms,
            start_ms: self.start_ms,
            day_ends_ms: day.end_ms,
            attempts: self.record.next(),
            forgotten: self.record.forgotten(),
            quotas,
            faults: self
                .faults
                .iter()
                .map(|(fault, struck)| FaultState { fault: fault.clone(), struck: *struck })
                .collect(),
        }
    }

    fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if !self.day.contains(self.now_ms) {
            self.day = PacificDay::of(self.now_ms);
        }
    }

    fn model_index(&self, name: &str) -> Option<usize> {
        let name = self.config.aliases.get(name).map_or(name, String::as_str);
        self.config.models.iter().position(|model| model.name == name)
    }

    /// A call with a known key: what happened, the reply, and how many ms faults add.
    fn serve(&mut self, call: &Call<'_>, place: &KeyPlace, secret: &str) -> (Ruling, Reply, u64) {
        let model = self.model_index(call.model);
        let answering = model.map_or(call.model, |index| &self.config.models[index].name).to_owned();
        let project = Arc::clone(&self.projects[place.project]);
        let target = Target {
            key: &place.id,
            project: &project,
            asked_model: call.model,
            model: &answering,
            operation: call.operation,
            structured: call.schema.is_some(),
            elapsed_ms: self.now_ms - self.start_ms,
        };
        if let Some(kind) = self.strike(&target, Stage::Door) {
            return (Ruling::FaultUncharged, self.scene(place, &answering).reply(&kind, secret), 0);
        }
        let Some(model) = model else {
            if call.operation == Operation::ListModels {
                return self.inside(call, place, secret, None, &target);
            }
            let refusal = bodies::model_missing(call.model, "v1beta", call.operation.method());
            return (Ruling::BadRequest, Reply::Refused(refusal), 0);
        };
        if let Some(refusal) = &call.invalid {
            return (Ruling::BadRequest, Reply::Refused(refusal.clone()), 0);
        }
        if call.operation.generates() {
            let limit = self.config.models[model].input_token_limit;
            if call.input_tokens > limit {
                let refusal = bodies::too_many_tokens(call.input_tokens, limit);
                return (Ruling::BadRequest, Reply::Refused(refusal), 0);
            }
            if let Err((ruling, refusal)) = self.take_quota(place.project, model, call.input_tokens) {
                return (ruling, Reply::Refused(refusal), 0);
            }
        }
        self.inside(call, place, secret, Some(model), &target)
    }

    fn take_quota(&mut self, project: usize, model: usize, tokens: u64) -> Result<(), (Ruling, Refusal)> {
        let settings = &self.config.projects[project];
        let name = &self.config.models[model].name;
        let (now_ms, day) = (self.now_ms, self.day);
        let quota = self.quotas.entry((project, model)).or_insert_with(|| {
            Quota::new(settings.limits_of(name), settings.window.unwrap_or(self.config.window), day)
        });
        quota.take(now_ms, day, tokens).map_err(|violations| {
            let has = |dimension| violations.iter().any(|violation| violation.dimension == dimension);
            let ruling = if violations.iter().any(|violation| violation.limit == Some(0)) {
                Ruling::NoQuota
            } else if has(Dimension::RequestsPerDay) {
                Ruling::RequestsPerDay
            } else if has(Dimension::RequestsPerMinute) {
                Ruling::RequestsPerMinute
            } else {
                Ruling::TokensPerMinute
            };
            (ruling, quota::exceeded(&violations, name, settings.tier))
        })
    }

    /// Behind the quota: charged faults, else the answer.
    fn inside(
        &mut self,
        call: &Call<'_>,
        place: &KeyPlace,
        secret: &str,
        model: Option<usize>,
        target: &Target<'_>,
    ) -> (Ruling, Reply, u64) {
        let extra = self.extra_ms(target);
        let fault = self.strike(target, Stage::Inside);
        let answer = match (model, call.operation.generates()) {
            (Some(model), true) => Some(self.answer(call, model)),
            _ => None,
        };
        let Some(kind) = fault else {
            let reply = answer.map_or(Reply::Granted, |answer| Reply::Answer(Box::new(answer)));
            return (Ruling::Accepted, reply, extra);
        };
        let reply = match answer.map(|answer| spoil(answer, &kind)) {
            Some(Some(answer)) => Reply::Answer(Box::new(answer)),
            _ => self.scene(place, target.model).reply(&kind, secret),
        };
        (Ruling::FaultCharged, reply, extra)
    }

    fn scene<'a>(&'a self, place: &KeyPlace, model: &'a str) -> Scene<'a> {
        let project = &self.config.projects[place.project];
        let made_up = 100_000_000_000 + place.project as u64;
        Scene { project, project_number: project.number.unwrap_or(made_up), model, now_ms: self.now_ms }
    }

    /// What the model writes for this prompt.
    fn answer(&mut self, call: &Call<'_>, model: usize) -> Answer {
        let model = &self.config.models[model];
        let text = match &call.schema {
            Some(schema) => strategy::structured(&call.prompt, &call.system, schema),
            None => strategy::reply(&call.prompt, &call.system),
        };
        let wanted = call.max_output_tokens.unwrap_or(u64::MAX).min(model.output_token_limit);
        let thoughts = model.thinking_tokens.min(wanted);
        let room = usize::try_from(wanted - thoughts).unwrap_or(usize::MAX);
        let characters = text.chars().count();
        let (text, finish_reason) = if characters.div_ceil(4) <= room {
            (text, "STOP")
        } else {
            (text.chars().take(room.saturating_mul(4)).collect(), "MAX_TOKENS")
        };
        Answer {
            usage: Usage::new(call.input_tokens, tokens(text.chars().count()), thoughts),
            text,
            finish_reason: Some(finish_reason),
            block_reason: None,
            model_version: model.name.as_str().into(),
            response_id: std::iter::repeat_with(|| self.rng.alphanumeric()).take(22).collect(),
            broken: None,
        }
    }

    /// The first fault of this stage that hits the call.
    fn strike(&mut self, target: &Target<'_>, stage: Stage) -> Option<FaultKind> {
        let rng = &mut self.rng;
        let (fault, struck) = self.faults.iter_mut().find(|(fault, struck)| {
            !matches!(fault.kind, FaultKind::Slow { .. })
                && fault.stage() == stage
                && hits(fault, *struck, target, rng)
        })?;
        *struck += 1;
        Some(fault.kind.clone())
    }

    /// The delays of all matching slow faults.
    fn extra_ms(&mut self, target: &Target<'_>) -> u64 {
        let mut total: u64 = 0;
        for (fault, struck) in &mut self.faults {
            if let FaultKind::Slow { extra_ms } = fault.kind
                && hits(fault, *struck, target, &mut self.rng)
            {
                *struck += 1;
                total = total.saturating_add(extra_ms);
            }
        }
        total
    }
}

/// True if the fault meets the call and its dice and count allow it.
fn hits(fault: &Fault, struck: u64, target: &Target<'_>, rng: &mut Rng) -> bool {
    fault.times.is_none_or(|times| struck < times)
        && fault.matches(target)
        && fault.probability.is_none_or(|probability| rng.f64() < probability)
}
