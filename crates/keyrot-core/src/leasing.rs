//! The pool's side of a lease: it is begun, and then given back, abandoned or concluded.

use std::pin::pin;
use std::time::Instant;

use crate::counter::Tally;
use crate::lease::Leased;
use crate::limit::{Disposition, Reservation, Settlement};
use crate::measured;
use crate::outcome::{Effect, LearnedLimit, Outcome};
use crate::plan::Tried;
use crate::pool::KeyPool;
use crate::renewal::Reread;
use crate::request::KeyRequest;
use crate::verdict::{Counted, Judged, Judgement, Next};

impl KeyPool {
    /// The call is sent now. Fails if its scope was blocked meanwhile or it was held too long.
    pub(crate) fn begin(&self, leased: &Leased) -> Result<Instant, Instant> {
        let now = self.inner.clock.now();
        let tick = self.tick_at(now);
        let mut shared = self.lock();
        let spot = shared.state.find(leased.spot, &leased.key.key_id, &leased.group);
        if now > leased.send_by || spot.is_some_and(|spot| shared.state.is_blocked(spot, tick)) {
            return Err(now);
        }
        if let Some(spot) = spot {
            shared.state.keys[spot.key as usize].counters.last_used = Some(tick);
        }
        Ok(now)
    }

    /// A lease was dropped before it was sent.
    pub(crate) fn give_back(&self, leased: &Leased, settlement: Option<Settlement>) {
        self.end_probe(leased);
        self.queue(settlement, None);
    }

    /// A lease was dropped after it was sent: neutral, but counted.
    pub(crate) fn abandon(&self, leased: &Leased, settlement: Option<Settlement>) {
        {
            let mut shared = self.lock();
            if let Some(spot) = shared.state.find(leased.spot, &leased.key.key_id, &leased.group) {
                shared.state.keys[spot.key as usize].counters.abandoned += 1;
            }
        }
        self.end_probe(leased);
        measured::abandoned(&leased.group.model);
        self.queue(settlement, Some(Tally { abandoned: 1, ..leased.tally() }));
    }

    fn end_probe(&self, leased: &Leased) {
        if !leased.marks.is_empty() {
            let now = self.tick();
            let mut shared = self.lock();
            if let Some(spot) = shared.state.find(leased.spot, &leased.key.key_id, &leased.group) {
                shared.state.end_probe(leased.marks, spot, now);
            }
        }
    }

    /// Books what became of a call, and says what its caller does next.
    pub(crate) async fn conclude(
        &self,
        leased: &Leased,
        reservation: Option<Reservation>,
        outcome: &Outcome,
        begun: Instant,
        of: Option<(&KeyRequest, &Tried)>,
    ) -> Next {
        let probing = ProbeGuard { pool: self, leased };
        let reread = match outcome.effect {
            Effect::KeyRejected => Box::pin(self.reread_refused(leased, of)).await, // boxed: seldom, and large
            _ => Reread::Same,
        };
        let now = self.tick();
        let judgement = {
            let mut shared = self.lock();
            match shared.state.find(leased.spot, &leased.key.key_id, &leased.group) {
                None => Judgement::of_a_stranger(outcome),
                Some(spot) => {
                    let judged = Judged {
                        spot,
                        key: &leased.key,
                        group: &leased.group,
                        limits: leased.limits,
                        since: leased.since,
                        begun: self.tick_at(begun),
                        // what is held against a newer secret is younger than this lease: its success excuses nothing
                        secret: match outcome.effect {
                            Effect::Success => reread,
                            _ => self.reread_since(leased, reread),
                        },
                    };
                    shared.state.judge(&judged, outcome, now)
                }
            }
        };
        let proven = outcome.effect == Effect::Success;
        let settlement = reservation.map(|reservation| Settlement {
            reservation,
            disposition: Disposition::Sent { input_tokens: outcome.usage.input_tokens, proven },
        });
        if !judgement.pardoned.is_empty() {
            Box::pin(self.pardon(judgement.pardoned.into_iter())).await;
        }
        let tally = judgement.counted.map(|counted| match counted {
            Counted::Success => Tally { successes: 1, ..leased.tally() },
            Counted::Error => Tally { errors: 1, ..leased.tally() },
        });
        pin!(self.settle(settlement, judgement.verdicts, tally)).await;
        drop(probing);
        measured::attempt(&leased.group.model, outcome);
        if outcome.effect != Effect::Success {
            self.measure_blocked();
        }
        report_event(leased, outcome);
        judgement.next
    }

    pub(crate) fn measure_blocked(&self) {
        if measured::IS_ON {
            let now = self.tick();
            measured::blocked(&self.lock().state, now);
        }
    }

    async fn reread_refused(&self, leased: &Leased, of: Option<(&KeyRequest, &Tried)>) -> Reread {
        match of {
            Some((request, tried)) => self.reread(leased, request, tried).await,
            None => {
                let request = KeyRequest::model(leased.group.model.as_str());
                self.reread(leased, &request, &Tried::default()).await
            }
        }
    }
}

/// Ends the probe of a call however its report ends.
struct ProbeGuard<'a> {
    pool: &'a KeyPool,
    leased: &'a Leased,
}

impl Drop for ProbeGuard<'_> {
    fn drop(&mut self) {
        if !self.leased.marks.is_empty() {
            self.pool.end_probe(self.leased);
            self.pool.inner.waiters.wake();
        }
    }
}

fn report_event(leased: &Leased, outcome: &Outcome) {
    if outcome.effect != Effect::Success {
        tracing::debug!(
            key_id = leased.key.key_id.as_str(),
            model = leased.group.model.as_str(),
            effect = outcome.effect.name(),
            detail = &*outcome.detail,
            "keyrot.attempt failed"
        );
    }
    if let Some(LearnedLimit { quota, value: Some(allowed) }) = outcome.learned
        && let Some(stated) = leased.limits.of(quota).filter(|stated| allowed > *stated)
    {
        let (key_id, model) = (leased.key.key_id.as_str(), leased.group.model.as_str());
        tracing::info!(
            key_id,
            model,
            stated,
            allowed,
            "the provider allows more than keys.json and refuses all the same: others use this quota too"
        );
    }
}
