//! What one question offers to the limiter: the group that was chosen and, where a question is a round trip, those
//! that come next, so that the limiter finds the first with room.

use std::sync::Arc;

use tracing::Instrument;

use crate::cached_slot::VersionedSecret;
use crate::key::{KeyMetadata, ModelName};
use crate::limit::{Ask, Candidate, Group, LimiterError, Reserved};
use crate::plan::{Choice, Tried};
use crate::pool::{KeyPool, Shared};
use crate::probe::ProbeMarks;
use crate::request::KeyRequest;
use crate::slots::Spot;
use crate::state::PoolState;

/// What was chosen.
pub(crate) struct Pick<'p> {
    pool: &'p KeyPool,
    pub(crate) key: Arc<KeyMetadata>,
    /// As the limiter is asked for it.
    candidate: Candidate,
    spot: Spot,
    probe: HeldProbe<'p>,
}

/// The probe slots of a pick, if it needs any: free again when this is dropped, unless they are kept.
struct HeldProbe<'p>(Option<Held<'p>>);

struct Held<'p> {
    pool: &'p KeyPool,
    key: Arc<KeyMetadata>,
    group: Arc<Group>,
    spot: Spot,
    marks: ProbeMarks,
}

/// Picks with their secrets, best first.
pub(crate) struct Offer<'p> {
    first: (Pick<'p>, Arc<VersionedSecret>),
    /// They need no probe.
    others: Vec<(Pick<'p>, Arc<VersionedSecret>)>,
}

impl KeyPool {
    /// The first one and whoever comes next, as many as the limiter takes at once. Only keys whose secret is held
    /// go along, for nothing is reserved that cannot be sent at once; the first without one ends the offer, so
    /// that nobody of a lower priority comes before it.
    pub(crate) fn offer<'p>(
        &'p self,
        first: Pick<'p>,
        secret: Arc<VersionedSecret>,
        request: &KeyRequest,
        model: Option<&ModelName>,
        tried: &Tried,
    ) -> Offer<'p> {
        let most = self.inner.offered_at_once - 1;
        let mut others = Vec::new();
        if most > 0 && first.probe.0.is_none() {
            let held = self.next_picks(&first, (request, model), tried, most).into_iter().map_while(|pick| {
                let secret = self.inner.secrets.peek(&pick.key.key_id)?;
                Some((pick, secret))
            });
            others.extend(held);
        }
        Offer { first: (first, secret), others }
    }

    fn next_picks(
        &self,
        first: &Pick<'_>,
        of: (&KeyRequest, Option<&ModelName>),
        tried: &Tried,
        most: usize,
    ) -> Vec<Pick<'_>> {
        let now = self.tick();
        let mut shared = self.lock();
        let Shared { state, rng, .. } = &mut *shared;
        let Some(spot) = state.find(first.spot, &first.key.key_id, &first.candidate.group) else {
            return Vec::new();
        };
        let others = state.others(of, tried, spot.group, most, now, rng);
        others.into_iter().map(|choice| self.pick(state, choice, ProbeMarks::default())).collect()
    }

    pub(crate) fn pick(&self, state: &PoolState, choice: Choice, marks: ProbeMarks) -> Pick<'_> {
        let (slot, key) = (&state.groups[choice.group as usize], &state.keys[choice.key as usize].meta);
        let (group, limits, spot) = (&slot.group, slot.limits, state.spot(choice.key, choice.group));
        let held = || {
            let (key, group) = (Arc::clone(key), Arc::clone(group));
            Held { pool: self, key, group, spot, marks }
        };
        Pick {
            pool: self,
            key: Arc::clone(key),
            candidate: Candidate { group: Arc::clone(group), limits, key: key.key_id.clone() },
            spot,
            probe: HeldProbe((!marks.is_empty()).then(held)),
        }
    }
}

impl<'p> Offer<'p> {
    /// Asks the limiter for a place in one of them.
    pub(crate) async fn reserve(&self, ask: Ask, seen: u64) -> Result<Reserved, LimiterError> {
        let (pick, _) = &self.first;
        let (limiter, first) = (&pick.pool.inner.limiter, &pick.candidate);
        let span = tracing::debug_span!("keyrot.reserve", candidates = 1 + self.others.len());
        if self.others.is_empty() {
            return limiter.reserve(std::slice::from_ref(first), &[ask], seen).instrument(span).await;
        }
        let others = self.others.iter().map(|(pick, _)| &pick.candidate);
        let candidates: Vec<_> = std::iter::once(first).chain(others).cloned().collect();
        limiter.reserve(&candidates, &[ask], seen).instrument(span).await
    }

    /// The group of a candidate, by its place in the question.
    pub(crate) fn group(&self, candidate: usize) -> Option<&Group> {
        let (pick, _) = match candidate.checked_sub(1) {
            None => &self.first,
            Some(place) => self.others.get(place)?,
        };
        Some(&pick.candidate.group)
    }

    /// The candidate that was granted.
    pub(crate) fn take(mut self, candidate: usize) -> Option<(Pick<'p>, Arc<VersionedSecret>)> {
        match candidate.checked_sub(1) {
            None => Some(self.first),
            Some(place) => (place < self.others.len()).then(|| self.others.swap_remove(place)),
        }
    }
}

impl Pick<'_> {
    pub(crate) fn keep(mut self) -> (Arc<KeyMetadata>, Candidate, Spot, ProbeMarks) {
        let marks = self.probe.0.take().map_or_else(ProbeMarks::default, |held| held.marks);
        (self.key, self.candidate, self.spot, marks)
    }
}

impl Drop for HeldProbe<'_> {
    fn drop(&mut self) {
        if let Some(Held { pool, key, group, spot, marks }) = self.0.take() {
            let now = pool.tick();
            let mut shared = pool.lock();
            if let Some(spot) = shared.state.find(spot, &key.key_id, &group) {
                shared.state.end_probe(marks, spot, now);
            }
        }
    }
}
