//! A weighted set of which only the ready members are drawn: a dense list of those, and a heap of
//! the times at which the others become ready. The cost of a draw does not depend on how many are
//! not ready.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A time of the pool: milliseconds since it was built.
pub(crate) type Tick = u64;

/// Not ready until somebody says so.
pub(crate) const NEVER: Tick = Tick::MAX;

/// Place of a member that is not in the dense list.
const OUT: u32 = u32::MAX;

#[derive(Debug)]
struct Member {
    weight: u32,
    /// Index into the bucket of its weight, or [`OUT`].
    place: u32,
    ready_at: Tick,
}

/// Ready members whose weights share their highest bit: a uniform draw that is accepted with
/// `weight / cap` (at least one half) is an exact weighted draw.
#[derive(Debug, Default)]
struct Bucket {
    members: Vec<u32>,
    total: u64,
}

/// See the module. Members are numbered 0, 1, 2 ... as they are added.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: Vec<Member>,
    buckets: Vec<Bucket>,
    /// When members become ready. An entry that no longer agrees with its member is skipped.
    heap: BinaryHeap<Reverse<(Tick, u32)>>,
    ready: usize,
}

impl Roster {
    /// Adds a member that is not ready.
    pub(crate) fn add(&mut self, weight: u32) -> u32 {
        let number = u32::try_from(self.members.len()).unwrap_or(OUT);
        self.members.push(Member { weight, place: OUT, ready_at: NEVER });
        number
    }

    /// The member is ready from this time on.
    pub(crate) fn set_ready_at(&mut self, member: u32, at: Tick, now: Tick) {
        self.members[member as usize].ready_at = at;
        if at <= now {
            self.put_in(member);
        } else {
            self.take_out(member);
            if at != NEVER {
                self.heap.push(Reverse((at, member)));
            }
        }
    }

    /// Changes the weight of a member.
    pub(crate) fn set_weight(&mut self, member: u32, weight: u32) {
        if self.members[member as usize].weight == weight {
            return;
        }
        let was_in = self.members[member as usize].place != OUT;
        self.take_out(member);
        self.members[member as usize].weight = weight;
        if was_in {
            self.put_in(member);
        }
    }

    /// Puts in who has become ready.
    #[inline]
    pub(crate) fn wake(&mut self, now: Tick) {
        while let Some(&Reverse((at, member))) = self.heap.peek().filter(|entry| entry.0.0 <= now) {
            self.heap.pop();
            if self.members[member as usize].ready_at == at {
                self.put_in(member);
            }
        }
    }

    /// A ready member, each with a chance in proportion to its weight. Call [`wake`](Self::wake) first.
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> Option<u32> {
        let bucket = self.draw_bucket(rng)?;
        let Bucket { members, .. } = &self.buckets[bucket];
        let cap = (2_u64 << bucket) - 1;
        loop {
            let member = members[rng.usize(..members.len())];
            if bucket == 0 || rng.u64(..cap) < u64::from(self.members[member as usize].weight) {
                return Some(member);
            }
        }
    }

    /// True if the member can be drawn.
    pub(crate) fn is_in(&self, member: u32) -> bool {
        self.members[member as usize].place != OUT
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// The earliest time at which a member that is not ready becomes so.
    #[inline]
    pub(crate) fn next_ready(&mut self) -> Option<(Tick, u32)> {
        loop {
            let &Reverse((at, member)) = self.heap.peek()?;
            let state = &self.members[member as usize];
            if state.ready_at == at && state.place == OUT {
                return Some((at, member));
            }
            self.heap.pop();
        }
    }

    /// Takes a ready member out for the length of one plan; false if it was not in.
    pub(crate) fn take_out(&mut self, member: u32) -> bool {
        let Member { weight, place, .. } = self.members[member as usize];
        if place == OUT {
            return false;
        }
        let bucket = &mut self.buckets[weight.max(1).ilog2() as usize];
        bucket.members.swap_remove(place as usize);
        bucket.total -= u64::from(weight);
        if let Some(moved) = bucket.members.get(place as usize) {
            self.members[*moved as usize].place = place;
        }
        self.members[member as usize].place = OUT;
        self.ready -= 1;
        true
    }

    /// Puts a member back that [`take_out`](Self::take_out) took.
    pub(crate) fn put_in(&mut self, member: u32) {
        let Member { weight, place, .. } = self.members[member as usize];
        if place != OUT || weight == 0 {
            return; // a weight of 0 is never drawn
        }
        let bucket = weight.ilog2() as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize_with(bucket + 1, Bucket::default);
        }
        let Bucket { members, total } = &mut self.buckets[bucket];
        self.members[member as usize].place = u32::try_from(members.len()).unwrap_or(OUT);
        members.push(member);
        *total += u64::from(weight);
        self.ready += 1;
    }

    fn draw_bucket(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        if self.ready == 0 {
            return None;
        }
        if self.buckets.len() == 1 {
            return Some(0);
        }
        let total: u64 = self.buckets.iter().map(|bucket| bucket.total).sum();
        let mut ticket = rng.u64(..total);
        for (index, bucket) in self.buckets.iter().enumerate() {
            match ticket.checked_sub(bucket.total) {
                Some(rest) => ticket = rest,
                None => return Some(index),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(weights: &[u32]) -> Roster {
        let mut roster = Roster::default();
        for weight in weights {
            let member = roster.add(*weight);
            roster.set_ready_at(member, 0, 0);
        }
        roster
    }

    #[test]
    fn draws_follow_the_weights() {
        let weights = [1, 2, 3, 5, 0, 8, 1];
        let roster = roster(&weights);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut drawn = [0_u32; 7];
        for _ in 0..20_000 {
            drawn[roster.draw(&mut rng).unwrap() as usize] += 1;
        }
        for (weight, drawn) in weights.iter().zip(drawn) {
            let expected = weight * 1000;
            assert!(drawn.abs_diff(expected) <= expected / 8 + 1, "weight {weight}: {drawn}");
        }
    }

    #[test]
    fn members_come_back_at_their_time_and_not_before() {
        let mut roster = roster(&[1, 1]);
        roster.set_ready_at(0, 100, 0);
        roster.set_ready_at(1, 50, 0);
        roster.set_ready_at(1, 70, 0); // a longer block: the entry for 50 is stale
        assert_eq!((roster.ready(), roster.next_ready()), (0, Some((70, 1))));
        roster.wake(69);
        assert_eq!(roster.ready(), 0);
        roster.wake(70);
        assert_eq!(
            (roster.draw(&mut fastrand::Rng::with_seed(1)), roster.next_ready()),
            (Some(1), Some((100, 0)))
        );
    }

    #[test]
    fn taken_out_members_are_not_drawn_until_they_are_put_back() {
        let mut roster = roster(&[1, 4, 4]);
        roster.take_out(1);
        roster.take_out(2);
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..50).all(|_| roster.draw(&mut rng) == Some(0)));
        roster.put_in(2);
        assert!((0..50).any(|_| roster.draw(&mut rng) == Some(2)));
    }
}
