//! How a key is got: plan, secret, reserve; and waiting in line when there is none.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{AcquireError, Exhausted};
use crate::key::ModelName;
use crate::lease::{KeyLease, Leased};
use crate::limit::{Ask, Candidate, Group, Refusal, Reserved};
use crate::offer::{Offer, Pick};
use crate::outcome::{Reason, Scope};
use crate::plan::{Described, Plan, Tried};
use crate::pool::{KeyPool, Shared};
use crate::request::KeyRequest;
use crate::roster::{NEVER, Tick};
use crate::wait::{Line, Ticket};

/// A probe slot is free again after this time even if nobody reports.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

impl KeyPool {
    /// A key that can serve now. Never waits for quota.
    ///
    /// # Errors
    /// [`AcquireError::Exhausted`] says when to try again.
    pub async fn acquire(&self, request: &KeyRequest) -> Result<KeyLease, AcquireError> {
        let work = pin!(async {
            match self.inner.waiters.line(request) {
                Line::Empty => self.acquire_now(request, &Tried::default()).await,
                line => match self.pass(request, line).await {
                    Some(lease) => Ok(lease),
                    None => Err(AcquireError::Exhausted(self.exhausted_now(request))),
                },
            }
        });
        self.observe(request).until(work).await
    }

    /// A key, waiting at most `within` for the earliest capacity; first come, first served.
    ///
    /// # Errors
    /// [`AcquireError::Exhausted`] at once if nothing will be free in time.
    pub async fn acquire_within(
        &self,
        request: &KeyRequest,
        within: Duration,
    ) -> Result<KeyLease, AcquireError> {
        let deadline = self.inner.clock.now() + within;
        let tried = Tried::default();
        let work = pin!(self.acquire_until(request, deadline, &tried));
        self.observe(request).until(work).await
    }

    pub(crate) async fn acquire_until(
        &self,
        request: &KeyRequest,
        deadline: Instant,
        tried: &Tried,
    ) -> Result<KeyLease, AcquireError> {
        match self.inner.waiters.line(request) {
            Line::Empty => match self.acquire_now(request, tried).await {
                Err(AcquireError::Exhausted(told)) if self.worth_waiting(&told, deadline) => {}
                done => return done,
            },
            line => {
                if let Some(lease) = self.pass(request, line).await {
                    return Ok(lease);
                }
                if let Some((told, at)) = self.inner.waiters.told(request).filter(|(_, at)| *at > deadline) {
                    return Err(AcquireError::Exhausted(self.as_of_now(told, at)));
                }
            }
        }
        let ticket = self.inner.waiters.join(request)?;
        self.wait_in_line(request, deadline, tried, &ticket).await
    }

    async fn wait_in_line(
        &self,
        request: &KeyRequest,
        deadline: Instant,
        tried: &Tried,
        ticket: &Ticket,
    ) -> Result<KeyLease, AcquireError> {
        let clock = &self.inner.clock;
        let mut wake_at = deadline;
        let mut looks = false;
        loop {
            let my_turn = ticket.turn(clock.sleep_until(wake_at)).await;
            looks |= my_turn;
            if looks && !ticket.may_look() {
                (looks, wake_at) = (false, deadline);
                continue;
            }
            if !looks {
                return Err(AcquireError::Exhausted(match self.inner.waiters.told(request) {
                    Some((told, at)) => self.as_of_now(told, at),
                    None => self.exhausted_now(request),
                }));
            }
            match self.acquire_now(request, tried).await {
                Err(AcquireError::Exhausted(told)) if self.worth_waiting(&told, deadline) => {
                    let wait = told.retry_after.unwrap_or_default();
                    wake_at = clock.now() + wait;
                    if !ticket.told(&told, wake_at) {
                        // the head looks then, and lets this caller know
                        (looks, wake_at) = (false, deadline);
                    }
                }
                done => return done,
            }
        }
    }

    /// What the head of the line was told, for somebody who asks later.
    fn as_of_now(&self, told: Exhausted, at: Instant) -> Exhausted {
        let retry_after = Some(at.saturating_duration_since(self.inner.clock.now()));
        Exhausted { retry_after, ..told }
    }

    fn worth_waiting(&self, told: &Exhausted, deadline: Instant) -> bool {
        let may_pass = told.counts.is_empty() || told.counts.keys().any(|reason| reason.passes_by_itself());
        may_pass && told.retry_after.is_some_and(|wait| self.inner.clock.now() + wait <= deadline)
    }

    /// A smaller call may pass the head of the line if that does not move the head's time.
    async fn pass(&self, request: &KeyRequest, line: Line) -> Option<KeyLease> {
        let Line::Passable(Scope::ProjectModel(project, model)) = line else { return None };
        let group = Arc::new(Group { project, model });
        let tried = Tried { groups: vec![group], keys: Vec::new() };
        self.acquire_now(request, &tried).await.ok()
    }

    /// One look at every model of the request, without waiting for quota.
    pub(crate) async fn acquire_now(
        &self,
        request: &KeyRequest,
        tried: &Tried,
    ) -> Result<KeyLease, AcquireError> {
        self.take_on_models(request);
        self.settle_dropped().await;
        let mut refused: Option<Described> = None;
        let fallbacks = request.fallback_models.iter().map(Some);
        for model in std::iter::once(request.model.as_ref()).chain(fallbacks) {
            match self.try_model(request, model, tried).await? {
                Try::Leased(lease) => return Ok(lease),
                Try::Refused(new) => refused = Some(merge(refused, new)),
                Try::NoMatch => {}
            }
        }
        match refused {
            Some(refused) => Err(self.explain_refusal(refused)),
            None => Err(self.no_match(request)),
        }
    }

    async fn try_model(
        &self,
        request: &KeyRequest,
        model: Option<&ModelName>,
        tried: &Tried,
    ) -> Result<Try, AcquireError> {
        let probe_ttl = request.deadline.min(LONGEST_PROBE);
        let tokens = request.input_tokens.saturating_add(request.input_tokens.div_ceil(10));
        let ask = Ask { tokens, probe_ttl };
        loop {
            let now = self.inner.clock.now();
            let (pick, fresh, seen) =
                match self.choose(request, model, tried, self.tick_at(now), probe_ttl)? {
                    Ok(picked) => picked,
                    Err(none) => return Ok(none),
                };
            let Some(secret) = self.secret_of(&pick.key, fresh, request, tried).await else { continue };
            let offer = self.offer(pick, secret, request, model, tried);
            let mut reply = offer.reserve(ask, seen).await.map_err(AcquireError::Limiter)?;
            let grant = reply.grants.pop();
            if grant.is_none() || !reply.refused.is_empty() {
                self.take_refusals(&offer, request.input_tokens, &reply);
            }
            let Some(grant) = grant else { continue };
            let Some((pick, secret)) = offer.take(grant.candidate) else { continue };
            let (key, Candidate { group, limits, .. }, spot, marks) = pick.keep();
            return Ok(Try::Leased(KeyLease::new(Leased {
                pool: self.clone(),
                key,
                group,
                limits,
                spot,
                secret,
                reservation: Some(grant.reservation),
                since: reply.now,
                send_by: now + Duration::from_millis(grant.send_by.saturating_sub(reply.now)),
                marks,
            })));
        }
    }

    /// Plans, and takes the probe slots of what was chosen.
    fn choose<'p>(
        &'p self,
        request: &KeyRequest,
        model: Option<&ModelName>,
        tried: &Tried,
        now: Tick,
        probe_ttl: Duration,
    ) -> Result<Result<(Pick<'p>, bool, u64), Try>, AcquireError> {
        let mut shared = self.lock();
        if shared.closed {
            return Err(AcquireError::Closed);
        }
        let Shared { state, rng, .. } = &mut *shared;
        let choice = match state.plan(request, model, tried, now, rng) {
            Plan::Chosen(choice) => choice,
            Plan::Refused(refusal) => return Ok(Err(Try::Refused(state.describe(refusal)))),
            Plan::NoMatch => return Ok(Err(Try::NoMatch)),
        };
        let expires = now.saturating_add(Tick::try_from(probe_ttl.as_millis()).unwrap_or(Tick::MAX));
        let fresh = state.wants_fresh_secret(choice.key);
        let marks = state.begin_probe(choice, now, expires);
        Ok(Ok((self.pick(state, choice, marks), fresh, self.seen())))
    }

    fn take_refusals(&self, offer: &Offer<'_>, size: u64, reply: &Reserved) {
        let now = self.tick();
        let mut shared = self.lock();
        self.learn(&mut shared, &reply.changed, reply.generation, (reply.now, now));
        for Refusal { candidate, not_before, reason, .. } in &reply.refused {
            let until = not_before.map_or(NEVER, |at| now + at.saturating_sub(reply.now).max(1));
            if let Some(group) = offer.group(*candidate) {
                shared.state.limiter_refused(group, (until, *reason), size, now);
            }
        }
    }

    fn explain_refusal(&self, refused: Described) -> AcquireError {
        let only_secrets = refused.counts.keys().all(|reason| {
            matches!(reason, Reason::SecretUnavailable | Reason::Inactive | Reason::UnknownProvider)
        });
        if only_secrets && refused.counts.contains_key(&Reason::SecretUnavailable) {
            let shared = self.lock();
            let texts: Vec<&str> = shared
                .state
                .keys
                .iter()
                .filter_map(|slot| slot.secret.as_ref().map(|(_, text)| text.as_str()))
                .take(20)
                .collect();
            return AcquireError::NoSecret(texts.join("; "));
        }
        AcquireError::Exhausted(self.exhausted(refused))
    }

    fn exhausted(&self, refused: Described) -> Exhausted {
        let now = self.inner.clock.now();
        let at = (refused.earliest != NEVER).then(|| self.instant_of(refused.earliest));
        let retry_after = at.map(|at| at.saturating_duration_since(now));
        Exhausted {
            retry_after,
            earliest: retry_after.map(|wait| self.inner.clock.wall() + wait),
            counts: refused.counts,
            limiting: refused.limiting,
        }
    }

    /// Why this request cannot be served now, without asking the limiter.
    fn exhausted_now(&self, request: &KeyRequest) -> Exhausted {
        let now = self.tick();
        let refused = {
            let mut shared = self.lock();
            let Shared { state, rng, .. } = &mut *shared;
            match state.plan(request, request.model.as_ref(), &Tried::default(), now, rng) {
                Plan::Refused(refusal) => state.describe(refusal),
                _ => Described { earliest: now, limiting: None, counts: Default::default() },
            }
        };
        self.exhausted(refused)
    }

    /// True if some key that was not tried could serve the request now, as far as the pool knows.
    pub(crate) fn is_ready(&self, request: &KeyRequest, tried: &Tried) -> bool {
        let now = self.tick();
        let mut shared = self.lock();
        let Shared { state, rng, .. } = &mut *shared;
        let mut models =
            std::iter::once(request.model.as_ref()).chain(request.fallback_models.iter().map(Some));
        models.any(|model| matches!(state.plan(request, model, tried, now, rng), Plan::Chosen(_)))
    }

    /// True if a key that was not tried fits the request, now or later.
    pub(crate) fn anybody_else(&self, request: &KeyRequest, tried: &Tried) -> bool {
        let shared = self.lock();
        let mut models =
            std::iter::once(request.model.as_ref()).chain(request.fallback_models.iter().map(Some));
        models.any(|model| shared.state.has_untried(request, model, tried))
    }

    pub(crate) fn no_match(&self, request: &KeyRequest) -> AcquireError {
        let mut wanted =
            request.model.as_ref().map_or("any model".to_owned(), |model| format!("model {model}"));
        for (name, value) in &request.tags {
            wanted += &format!(", tag {name}={value}");
        }
        if let Some(project) = &request.pin {
            wanted += &format!(", project {project}");
        }
        let mut models: Vec<ModelName> =
            self.lock().state.models.iter().map(|model| model.name.clone()).collect();
        models.sort();
        AcquireError::NoMatch { wanted, models }
    }
}

enum Try {
    Leased(KeyLease),
    Refused(Described),
    NoMatch,
}

/// Of two refusals the one that ends first; the counts of both.
fn merge(old: Option<Described>, new: Described) -> Described {
    let Some(mut old) = old else { return new };
    for (reason, count) in new.counts {
        *old.counts.entry(reason).or_default() += count;
    }
    if new.earliest < old.earliest {
        old.earliest = new.earliest;
        old.limiting = new.limiting;
    }
    old
}
