//! Whether a (project, model) has shown that it works. Until then two calls may be in flight. Pure.
//!
//! Proof is a success, first content, or a call that is in flight for a second: refusals are fast,
//! generations slow. Only calls that began after the last doubt count.

use crate::limit::Millis;
use crate::window::MINUTE;

/// A call that is in flight for so long without a refusal proves its group.
const PROVEN_AFTER: Millis = 1_000;

/// A call in flight in a group that is not proven; free if it lasts 0 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) started: Millis,
    /// For how long it is taken even if nobody reports; a minute at most.
    pub(crate) lasts: u16,
}

impl Slot {
    fn ends(self) -> Millis {
        self.started + Millis::from(self.lasts)
    }
}

/// See the module. A new group is not proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) proven: bool,
    pub(crate) doubted_at: Millis,
    pub(crate) slots: [Slot; 2],
}

impl Proof {
    pub(crate) fn advance(&mut self, now: Millis) {
        if !self.proven
            && self.slots.iter().any(|slot| self.proves_at(*slot).is_some_and(|proven| proven <= now))
        {
            self.establish();
        }
    }

    /// Takes a slot for a call; false if the group needs none.
    pub(crate) fn take(&mut self, now: Millis, ttl: Millis) -> bool {
        if !self.proven
            && let Some(slot) = self.slots.iter_mut().find(|slot| slot.ends() <= now)
        {
            let lasts = u16::try_from(ttl.clamp(1, MINUTE)).unwrap_or(u16::MAX);
            *slot = Slot { started: now, lasts };
        }
        !self.proven
    }

    /// When one more call may start; `None` if it may now.
    pub(crate) fn ready_at(&self, now: Millis) -> Option<Millis> {
        if self.proven || self.slots.iter().any(|slot| slot.ends() <= now) {
            return None;
        }
        let opens = |slot: &Slot| self.proves_at(*slot).unwrap_or(Millis::MAX).min(slot.ends());
        self.slots.iter().map(opens).min()
    }

    /// The call that took a slot is over.
    pub(crate) fn free(&mut self, taken_at: Millis) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.lasts > 0 && slot.started == taken_at) {
            *slot = Slot::default();
        }
    }

    /// A call that began at `taken_at` has shown that the group works.
    pub(crate) fn prove(&mut self, taken_at: Millis) {
        if taken_at > self.doubted_at {
            self.establish();
        }
    }

    /// The group failed in a way that has no end named by the provider.
    pub(crate) fn doubt(&mut self, now: Millis) {
        self.proven = false;
        self.doubted_at = now;
    }

    fn establish(&mut self) {
        *self = Self { proven: true, ..Self::default() };
    }

    fn proves_at(&self, slot: Slot) -> Option<Millis> {
        let counts = Millis::from(slot.lasts) >= PROVEN_AFTER && slot.started > self.doubted_at;
        counts.then_some(slot.started + PROVEN_AFTER)
    }
}
