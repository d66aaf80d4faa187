//! What a guarded limiter is asked for while nobody may take more than his part.

use std::sync::Arc;

use crate::guarded::GuardedLimiter;
use crate::limit::{Ask, Candidate, Group, LimiterError, Refusal, Reserved};

impl GuardedLimiter {
    /// Leaves out the groups of which this process, one of so many, has no part any more.
    pub(crate) async fn ask_for_part(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
        processes: u32,
    ) -> Result<Reserved, LimiterError> {
        let mut all = Reserved { now: self.now(), generation: seen, ..Reserved::default() };
        for (index, ask) in asks.iter().enumerate() {
            let (places, mut refused, under_way) = self.in_part(candidates, index, ask, processes);
            let offered: Vec<Candidate> = places.iter().map(|place| candidates[*place].clone()).collect();
            let mut reply = self.limiter.reserve(&offered, &[*ask], seen).await?;
            if !reply.changed.is_empty() {
                return if all.grants.is_empty() { Ok(reply) } else { Ok(all) };
            }
            for grant in &mut reply.grants {
                (grant.ask, grant.candidate) = (index, places[grant.candidate]);
                self.lock().own.note_grant(reply.now, &grant.reservation)?;
            }
            drop(under_way); // what was granted is noted
            refused.extend(reply.refused.into_iter().map(|refusal| Refusal {
                ask: index,
                candidate: places[refusal.candidate],
                ..refusal
            }));
            refused.sort_by_key(|refusal| refusal.candidate);
            (all.now, all.generation) = (reply.now, reply.generation);
            all.grants.append(&mut reply.grants);
            all.refused.append(&mut refused);
        }
        Ok(all)
    }

    /// The places of the candidates that this process still has a part of, and why it has none of the others. Who
    /// asks at the same time finds the part smaller by this ask.
    fn in_part(
        &self,
        candidates: &[Candidate],
        index: usize,
        ask: &Ask,
        processes: u32,
    ) -> (Vec<usize>, Vec<Refusal>, UnderWay<'_>) {
        let now = self.now();
        let (mut places, mut refused) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        for (place, candidate) in candidates.iter().enumerate() {
            match state.own.exceeds_share(now, candidate, ask, processes) {
                Some((not_before, reason)) => {
                    refused.push(Refusal { ask: index, candidate: place, not_before, reason });
                }
                None => places.push(place),
            }
        }
        let groups: Vec<_> = places.iter().map(|place| Arc::clone(&candidates[*place].group)).collect();
        state.own.note_asked(&groups, ask.tokens);
        (places, refused, UnderWay { limiter: self, groups, tokens: ask.tokens })
    }
}

/// What the limiter is being asked for. Ends with its answer, or with the caller who leaves.
struct UnderWay<'a> {
    limiter: &'a GuardedLimiter,
    groups: Vec<Arc<Group>>,
    tokens: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.limiter.lock().own.note_answered(&self.groups, self.tokens);
    }
}
