//! The suite of limiters: one named test per rule. The cases are in `limiter_quota`, `limiter_proof`,
//! `limiter_blocks` and `limiter_sharing`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{
    Ask, Backoff, Candidate, Disposition, Grant, Group, GroupUsage, KeyId, Limits, Millis, RateLimiter,
    Refusal, Reservation, Reserved, Scope, ScopeRecord, SettleBatch, Settled, Settlement, Verdict,
};

pub use crate::limiter_blocks::*;
pub use crate::limiter_proof::*;
pub use crate::limiter_quota::*;
pub use crate::limiter_sharing::*;

/// A limiter under test, and its time.
#[async_trait]
pub trait LimiterHarness: Send + Sync {
    /// A limiter on the books of this harness, as one more process would have it. The books are new
    /// with the harness.
    async fn limiter(&self) -> Arc<dyn RateLimiter>;

    /// Sets the limiter's wall time, forward or back. Until it is moved again it stands still.
    async fn set_wall(&self, wall: Millis);
}

/// 2026-01-05T12:00:00Z, 04:00 in Los Angeles: where every case starts.
pub(crate) const START: Millis = 1_767_614_400_000;
/// The minute with its guard.
pub(crate) const WINDOW: Duration = Duration::from_secs(61);
/// The day in which the cases start ends at midnight in Los Angeles.
pub(crate) const DAY_END: Millis = START + 20 * 3_600_000;

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn as_millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).expect("a span of the suite")
}

/// Quota that a key of this project asks for.
pub(crate) fn candidate(project: &str, limits: Limits) -> Candidate {
    let group = Group { project: project.into(), model: "gemini-2.5-flash".into() };
    let key = KeyId::parse(&format!("{project}-key")).expect("a key id of the suite");
    Candidate { group: Arc::new(group), limits, key }
}

pub(crate) fn rpm(limit: u32) -> Limits {
    Limits::new(Some(limit), None, None)
}

pub(crate) fn tpm(limit: u64) -> Limits {
    Limits::new(None, Some(limit), None)
}

pub(crate) fn rpd(limit: u32) -> Limits {
    Limits::new(None, None, Some(limit))
}

/// The call was sent and used what was reserved.
pub(crate) const SENT: Disposition = Disposition::Sent { input_tokens: None, proven: false };

/// The call was sent, succeeded and used so many tokens.
pub(crate) fn used(tokens: u64) -> Disposition {
    Disposition::Sent { input_tokens: Some(tokens), proven: true }
}

/// One process that uses the limiter.
pub(crate) struct Caller<'a, H> {
    pub(crate) harness: &'a H,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) now: Millis,
    pub(crate) seen: u64,
    epoch: u64,
    batches: u64,
}

impl<'a, H: LimiterHarness> Caller<'a, H> {
    pub(crate) async fn start(harness: &'a H) -> Self {
        harness.set_wall(START).await;
        let limiter = harness.limiter().await;
        Self { harness, limiter, now: START, seen: 0, epoch: 1, batches: 0 }
    }

    /// A process that starts now and knows nothing.
    pub(crate) async fn another(&self) -> Self {
        let limiter = self.harness.limiter().await;
        Self { limiter, seen: 0, epoch: self.epoch + 1, batches: 0, ..*self }
    }

    pub(crate) async fn set_wall(&mut self, wall: Millis) {
        self.harness.set_wall(wall).await;
        self.now = wall;
    }

    pub(crate) async fn advance(&mut self, by: Duration) {
        self.set_wall(self.now + as_millis(by)).await;
    }

    /// Asks the limiter; once more if it had news of blocks.
    pub(crate) async fn reserve(&mut self, candidates: &[Candidate], asks: &[Ask]) -> Reserved {
        loop {
            let reply =
                self.limiter.reserve(candidates, asks, self.seen).await.expect("a limiter that answers");
            assert_eq!(reply.now, self.now, "the limiter's time");
            self.seen = reply.generation;
            if reply.changed.is_empty() {
                return reply;
            }
            assert!(reply.grants.is_empty() && reply.refused.is_empty(), "news of blocks come alone");
        }
    }

    pub(crate) async fn try_take(&mut self, of: &Candidate, tokens: u64) -> Result<Grant, Refusal> {
        let ask = Ask { tokens, probe_ttl: secs(60) };
        let mut reply = self.reserve(std::slice::from_ref(of), &[ask]).await;
        match (reply.grants.pop(), reply.refused.pop()) {
            (Some(grant), None) => Ok(grant),
            (None, Some(refusal)) => Err(refusal),
            both => panic!("one ask of one candidate gave {both:?}"),
        }
    }

    pub(crate) async fn take(&mut self, of: &Candidate, tokens: u64) -> Reservation {
        match self.try_take(of, tokens).await {
            Ok(grant) => grant.reservation,
            Err(refusal) => panic!("{tokens} tokens were refused at {}: {refusal:?}", self.now),
        }
    }

    pub(crate) async fn refused(&mut self, of: &Candidate, tokens: u64) -> Refusal {
        match self.try_take(of, tokens).await {
            Ok(grant) => panic!("{tokens} tokens were granted at {}: {grant:?}", self.now),
            Err(refusal) => refusal,
        }
    }

    /// Takes until there is no room; how often that worked.
    pub(crate) async fn take_all(&mut self, of: &Candidate, tokens: u64) -> usize {
        let mut granted = 0;
        while self.try_take(of, tokens).await.is_ok() {
            granted += 1;
            assert!(granted < 10_000, "no limit");
        }
        granted
    }

    /// Refused now; refused a millisecond before the time that the refusal names, granted at it.
    pub(crate) async fn granted_exactly_when_told(&mut self, of: &Candidate, tokens: u64) -> Millis {
        let told = self.refused(of, tokens).await.not_before.expect("a time");
        assert!(told > self.now);
        self.set_wall(told - 1).await;
        assert_eq!(self.refused(of, tokens).await.not_before, Some(told), "told again");
        self.set_wall(told).await;
        self.take(of, tokens).await;
        told
    }

    pub(crate) async fn send(&mut self, batch: SettleBatch) -> Settled {
        let settled = self.limiter.settle(batch).await.expect("a limiter that answers");
        assert_eq!(settled.now, self.now, "the limiter's time");
        self.seen = settled.generation;
        settled
    }

    pub(crate) fn batch(&mut self, settlements: Vec<Settlement>, verdicts: Vec<Verdict>) -> SettleBatch {
        self.batches += 1;
        SettleBatch {
            epoch: self.epoch,
            number: self.batches,
            seen: self.seen,
            settlements,
            verdicts,
            tallies: Vec::new(),
            jitter: 0,
            backoff: Backoff::default(),
        }
    }

    pub(crate) async fn settle(&mut self, reservation: &Reservation, disposition: Disposition) -> Settled {
        let settlement = Settlement { reservation: reservation.clone(), disposition };
        let batch = self.batch(vec![settlement], Vec::new());
        self.send(batch).await
    }

    pub(crate) async fn tell(&mut self, verdict: Verdict) -> Settled {
        let batch = self.batch(Vec::new(), vec![verdict]);
        self.send(batch).await
    }

    /// Shows that the group works, and lets that call leave the window. Costs one unit of the day.
    pub(crate) async fn prove(&mut self, of: &Candidate) {
        let call = self.take(of, 0).await;
        self.settle(&call, used(0)).await;
        self.advance(WINDOW).await;
    }

    pub(crate) async fn usage(&self, of: &Candidate) -> GroupUsage {
        let snapshot = self.limiter.snapshot(std::slice::from_ref(of), &[], &[]).await;
        snapshot.expect("a limiter that answers").groups[0]
    }

    pub(crate) async fn record(&self, scope: &Scope) -> ScopeRecord {
        let snapshot = self.limiter.snapshot(&[], std::slice::from_ref(scope), &[]).await;
        snapshot.expect("a limiter that answers").scopes[0]
    }
}

/// Runs one case of the suite, with threads, so that concurrent calls are concurrent.
///
/// # Panics
/// If the case fails.
pub fn run_limiter_case(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("the system gives a runtime").block_on(case);
}

/// The suite as tests of the module that calls it.
///
/// `$harness` is the path of an `async fn` without arguments that gives a fresh
/// [`LimiterHarness`](crate::rate_limiter::LimiterHarness) with empty books. With a reason behind it
/// (`rate_limiter_tests!(harness; "needs redis-server: cargo xtask test")`) the tests are ignored for
/// that reason unless they are asked for.
#[macro_export]
macro_rules! rate_limiter_tests {
    (@one [$($attribute:tt)*] $harness:path, $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::rate_limiter::run_limiter_case(async {
                $crate::rate_limiter::$case($harness().await).await;
            });
        }
    };
    (@each $harness:path, $attributes:tt; $($case:ident)*) => {
        $( $crate::rate_limiter_tests! { @one $attributes $harness, $case } )*
    };
    ($harness:path) => {
        $crate::rate_limiter_tests! { @all $harness, [] }
    };
    ($harness:path; $reason:literal) => {
        $crate::rate_limiter_tests! { @all $harness, [#[ignore = $reason]] }
    };
    (@all $harness:path, $attributes:tt) => {
        $crate::rate_limiter_tests! { @each $harness, $attributes;
            a_batch_is_applied_in_order
            a_call_of_a_second_proves_its_group
            a_clock_that_steps_back_a_little_grants_nothing_extra
            a_clock_that_steps_back_far_grants_nothing_extra
            a_day_that_the_provider_has_closed_stays_closed
            a_deadline_frees_a_probe_slot
            a_doubted_group_proves_itself_again
            a_learned_limit_only_lowers_and_for_a_day
            a_limit_of_zero_is_never_used
            a_new_record_starts_full
            a_refusal_books_nothing
            a_release_after_the_day_is_over_leaves_the_new_one_alone
            a_release_gives_everything_back
            a_repeated_batch_changes_nothing
            a_request_larger_than_the_limit_has_its_own_reason
            a_reset_lifts_a_block_for_all
            a_settled_call_gives_back_what_it_did_not_use
            a_settled_call_pays_what_it_used_beyond
            a_success_lifts_a_block_only_if_it_is_newer
            an_ended_window_is_not_settled_again
            an_expected_refusal_tightens_nothing
            an_old_failure_does_not_escalate
            an_unproven_group_has_two_calls_in_flight
            asks_go_to_the_first_candidate_with_room
            changed_blocks_come_back_and_nothing_is_granted
            concurrent_callers_never_get_more_than_the_limit
            counters_add_up_over_processes
            days_end_at_pacific_midnight
            deadlines_merge_by_max
            groups_are_isolated
            limits_may_change_between_calls
            odd_names_are_kept_apart
            recalled_calls_count_from_when_they_were_sent
            siblings_of_a_project_share_its_quota
            the_earliest_time_is_exact
            the_minute_is_exact_for_requests
            the_minute_is_exact_for_tokens
            unexpected_refusals_pace_and_the_pace_comes_back
            what_nobody_used_has_an_empty_snapshot
        }
    };
}
