//! What the pool knows of its keys, for people and programs: health of every key, and why a
//! request could or could not be served now. Snapshots: true when taken.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::error::AcquireError;
use crate::key::{KeyId, ModelName, ProjectId};
use crate::limit::{Candidate, GroupUsage, LimiterError, LimiterMode, Millis};
use crate::outcome::{Reason, Scope};
use crate::pool::KeyPool;
use crate::request::KeyRequest;
use crate::roster::{NEVER, Tick};
use crate::scope::ScopeRecord;
use crate::slots::{GroupSlot, KeySlot, later};
use crate::state::PoolState;

/// Health of one key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeyHealth {
    /// The entry's model.
    pub model: ModelName,
    /// Its quota domain.
    pub project: ProjectId,
    /// As in keys.json.
    pub active: bool,
    /// When a call was last sent with it, by this process.
    pub last_used: Option<SystemTime>,
    /// Calls that completed.
    pub success_count: u64,
    /// Calls that failed, the callers' own faults aside.
    pub error_count: u64,
    /// Calls whose lease was dropped without a report.
    pub abandoned_count: u64,
    /// True while the key, its project or its model there rests. Computed now, never remembered.
    pub in_cooldown: bool,
    /// How long that lasts.
    pub cooldown_remaining: Option<Duration>,
    /// Why it cannot serve now.
    pub reason: Option<Reason>,
    /// Failures in a row of the key itself.
    pub strikes: u32,
    /// The last failure in words, without secrets; of the secret that is in use.
    pub last_error: Option<String>,
    /// Why its secret cannot be had, and where it is looked for: missing, switched off, the store is down.
    pub secret_error: Option<String>,
    /// How often another secret has come into use, in this process.
    pub secret_changes: u64,
}

/// Why a request can or cannot be served now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// Keys that could serve it now.
    pub selectable: Vec<KeyId>,
    /// The others that match it.
    pub blocked: Vec<Blocked>,
    /// When it can be served at the earliest; now if `selectable` is not empty; `None`: never.
    pub earliest_at: Option<SystemTime>,
}

/// A key that cannot serve now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Blocked {
    /// The key.
    pub key_id: KeyId,
    /// Why.
    pub reason: Reason,
    /// Whose fault.
    pub scope: Scope,
    /// Until when; `None`: until somebody changes something.
    pub until: Option<SystemTime>,
    /// More about the reason, where there is more to say: why a secret cannot be had.
    pub detail: Option<String>,
}

impl PoolState {
    /// What keeps a key of a group from a call of this size, until when, and whose fault it is.
    fn obstacle(
        &self,
        group: &GroupSlot,
        key: &KeySlot,
        tokens: u64,
        used: &GroupUsage,
        (now, their_now): (Tick, Millis),
    ) -> (Tick, Option<Reason>, Scope) {
        let project = self.projects[group.project as usize].block;
        let zero =
            if group.limits.forbids_everything() { (NEVER, Some(Reason::LimitZero)) } else { (0, None) };
        let size = tokens.saturating_add(tokens.div_ceil(10));
        let too_large = match used.effective.tpm {
            Some(tpm) if size > tpm => (NEVER, Some(Reason::TooLarge)),
            _ => group
                .too_big
                .filter(|(known, _)| *known <= tokens)
                .map_or((0, None), |(_, until)| (until, Some(Reason::MinuteTokens))),
        };
        let full = used.full.filter(|(reason, _)| *reason != Reason::LimitZero).map_or((0, None), |full| {
            let (reason, until) = full;
            (until.map_or(NEVER, |until| now + until.saturating_sub(their_now)), Some(reason))
        });
        let model = self.models[group.model as usize].evidence.breaker.blocked(now);
        let scope = group.group.scope();
        let each = [
            (key.shut(), Scope::Key(key.meta.key_id.clone())),
            ((project.until, project.reason), Scope::Project(group.group.project.clone())),
            ((group.block.until, group.block.reason), scope.clone()),
            (zero, scope.clone()),
            (group.refused, scope.clone()),
            (full, scope.clone()),
            (too_large, scope),
            ((model.unwrap_or(0), Some(Reason::ModelOverloaded)), Scope::Model(group.group.model.clone())),
            ((self.host.gate.blocked(now).unwrap_or(0), Some(Reason::HostSuspected)), Scope::Host),
        ];
        let mut worst = ((0, None), Scope::Key(key.meta.key_id.clone()));
        for obstacle in each {
            if obstacle.0.0 > worst.0.0 {
                worst = obstacle;
            }
        }
        (worst.0.0, worst.0.1, worst.1)
    }
}

impl KeyPool {
    /// Health of every key, by id.
    pub fn health(&self) -> BTreeMap<String, KeyHealth> {
        let (now, wall) = (self.tick(), self.inner.clock.wall());
        let shared = self.lock();
        let state = &shared.state;
        let mut health = BTreeMap::new();
        for slot in &state.keys {
            let mut shut = slot.shut();
            let mut rest = slot.block.until;
            for group in state.projects[slot.project as usize]
                .groups
                .iter()
                .map(|group| &state.groups[*group as usize])
            {
                if group.group.model == slot.meta.model_name {
                    let project = state.projects[slot.project as usize].block;
                    rest = rest.max(group.block.until).max(project.until);
                    shut = later(
                        shut,
                        later((group.block.until, group.block.reason), (project.until, project.reason)),
                    );
                    shut = later(shut, group.refused);
                }
            }
            let counters = &slot.counters;
            health.insert(
                slot.meta.key_id.as_str().to_owned(),
                KeyHealth {
                    model: slot.meta.model_name.clone(),
                    project: state.projects[slot.project as usize].id.clone(),
                    active: slot.meta.active,
                    last_used: counters
                        .last_used
                        .map(|tick| wall - Duration::from_millis(now.saturating_sub(tick))),
                    success_count: counters.success,
                    error_count: counters.error,
                    abandoned_count: counters.abandoned,
                    in_cooldown: rest > now,
                    cooldown_remaining: (rest > now).then(|| Duration::from_millis(rest - now)),
                    reason: shut.1.filter(|_| shut.0 > now),
                    strikes: slot.block.strikes,
                    last_error: counters.last_error.clone(),
                    secret_error: slot.secret.as_ref().map(|(_, why)| why.clone()),
                    secret_changes: counters.secret_changes,
                },
            );
        }
        health
    }

    /// [`health`](Self::health) with the counters of every process that shares the limiter, and with the
    /// blocks that they have caused.
    ///
    /// # Errors
    /// The limiter cannot be asked.
    pub async fn shared_health(&self) -> Result<BTreeMap<String, KeyHealth>, LimiterError> {
        self.learn_blocks().await?;
        let keys: Vec<KeyId> = self.keys().iter().map(|key| key.key_id.clone()).collect();
        let counters = self.inner.limiter.snapshot(&[], &[], &keys).await?.counters;
        let mut health = self.health();
        for (key, counted) in keys.iter().zip(counters).filter(|(_, counted)| counted.last_used > 0) {
            if let Some(health) = health.get_mut(key.as_str()) {
                health.last_used = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(counted.last_used));
                health.success_count = counted.successes;
                health.error_count = counted.errors;
                health.abandoned_count = counted.abandoned;
            }
        }
        Ok(health)
    }

    /// The records of these scopes as the limiter has them, for every process that shares it, and its time.
    ///
    /// # Errors
    /// The limiter cannot be asked.
    pub async fn scope_records(&self, scopes: &[Scope]) -> Result<(Millis, Vec<ScopeRecord>), LimiterError> {
        let snapshot = self.inner.limiter.snapshot(&[], scopes, &[]).await?;
        Ok((snapshot.now, snapshot.scopes))
    }

    /// What the limiter is, and how it does.
    pub fn limiter_mode(&self) -> LimiterMode {
        self.inner.limiter.mode()
    }

    /// Usage of the windows of every (project, model), in the order of keys.json.
    pub async fn usage(&self) -> Result<Vec<(ProjectId, ModelName, GroupUsage)>, LimiterError> {
        let candidates = self.candidates();
        let snapshot = self.inner.limiter.snapshot(&candidates, &[], &[]).await?;
        let named = candidates.into_iter().zip(snapshot.groups);
        Ok(named.map(|(of, usage)| (of.group.project.clone(), of.group.model.clone(), usage)).collect())
    }

    fn candidates(&self) -> Vec<Candidate> {
        let shared = self.lock();
        let state = &shared.state;
        let with_key = state.groups.iter().filter_map(|slot| {
            let key = state.keys[*slot.keys.first()? as usize].meta.key_id.clone();
            Some(Candidate { group: slot.group.clone(), limits: slot.limits, key })
        });
        with_key.collect()
    }

    /// Why a request can or cannot be served now, key by key. Takes no quota; secrets that were
    /// never read are read.
    ///
    /// # Errors
    /// [`AcquireError::NoMatch`] if no key fits the request.
    pub async fn explain(&self, request: &KeyRequest) -> Result<Explanation, AcquireError> {
        self.take_on_models(request);
        self.learn_blocks().await.map_err(AcquireError::Limiter)?;
        let candidates = self.candidates();
        let snapshot =
            self.inner.limiter.snapshot(&candidates, &[], &[]).await.map_err(AcquireError::Limiter)?;
        let (their_now, usage) = (snapshot.now, snapshot.groups);
        for key in self.keys().iter().filter(|key| key.active) {
            if self.inner.secrets.peek(&key.key_id).is_none() {
                let fetched = self.inner.secrets.get(key).await;
                self.noted(key, &fetched);
            }
        }
        self.cure().await;
        let (now, wall) = (self.tick(), self.inner.clock.wall());
        let mut explanation = Explanation { selectable: Vec::new(), blocked: Vec::new(), earliest_at: None };
        let mut matched = false;
        let mut earliest: Option<Tick> = None;
        {
            let shared = self.lock();
            let state = &shared.state;
            let class = crate::index::Class::of(request, request.model.as_ref());
            for (slot, used) in state.groups.iter().zip(&usage) {
                for key in slot.keys.iter().map(|key| &state.keys[*key as usize]) {
                    if !class.takes(&key.meta, &slot.group) {
                        continue;
                    }
                    matched = true;
                    let (until, reason, scope) =
                        state.obstacle(slot, key, request.input_tokens, used, (now, their_now));
                    earliest = Some(earliest.map_or(until, |known| known.min(until)));
                    match reason.filter(|_| until > now) {
                        None => explanation.selectable.push(key.meta.key_id.clone()),
                        Some(reason) => explanation.blocked.push(Blocked {
                            key_id: key.meta.key_id.clone(),
                            reason,
                            scope,
                            until: (until != NEVER).then(|| wall + Duration::from_millis(until - now)),
                            detail: (reason == Reason::SecretUnavailable)
                                .then(|| key.secret.as_ref().map(|(_, why)| why.clone()))
                                .flatten(),
                        }),
                    }
                }
            }
        }
        if !matched {
            return Err(self.no_match(request));
        }
        explanation.earliest_at =
            earliest.filter(|at| *at != NEVER).map(|at| wall + Duration::from_millis(at.saturating_sub(now)));
        Ok(explanation)
    }
}
