//! Quota books under generated load, against a model that remembers every call.
//! `PROPTEST_CASES` sets the number of cases.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{
    Admitted, Ask, Candidate, Disposition, Group, KeyId, LearnedLimit, Limits, LocalLimiter, ManualClock,
    Millis, Quota, QuotaRecord, RateLimiter, Reason, Reservation, SettleBatch, Settlement,
};
use proptest::collection::vec;
use proptest::prelude::*;

const WINDOW: Millis = 61_000;
/// 2026-11-01T05:00Z: two hours before the longest day begins.
const START: Millis = 1_793_509_200_000;

#[derive(Clone, Debug)]
enum Step {
    /// Time goes on.
    Wait(Millis),
    /// The wall clock goes back.
    Back(Millis),
    /// A call of so many tokens.
    Reserve(u64),
    /// The n-th call that is under way was never sent.
    Release(usize),
    /// The n-th call that is under way used so many tokens; perhaps it showed that the group works.
    Sent(usize, Option<u64>, bool),
    /// The provider names a limit.
    Learn(Quota, u64),
    /// The provider refuses unexpectedly a call that was leased so long ago.
    Tighten(Millis),
    /// The group is blocked without a named end.
    Doubt,
    /// The provider says that the day is used up.
    DayGone,
}

fn step() -> impl Strategy<Value = Step> {
    let quota = prop_oneof![
        Just(Quota::RequestsPerMinute),
        Just(Quota::TokensPerMinute),
        Just(Quota::RequestsPerDay)
    ];
    prop_oneof![
        6 => prop_oneof![0..2_000_u64, 0..70_000_u64, Just(3_600_000)].prop_map(Step::Wait),
        10 => prop_oneof![0..400_u64, 0..2_000_u64].prop_map(Step::Reserve),
        3 => (0..8_usize).prop_map(Step::Release),
        6 => (0..8_usize, prop::option::of(0..1_500_u64), any::<bool>())
            .prop_map(|(call, used, proven)| Step::Sent(call, used, proven)),
        1 => (quota, 1..1_500_u64).prop_map(|(quota, value)| Step::Learn(quota, value)),
        1 => (0..2_000_u64).prop_map(Step::Tighten),
        1 => Just(Step::Doubt),
        1 => Just(Step::DayGone),
    ]
}

fn step_with_clock() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => step(),
        1 => prop_oneof![0..61_001_u64, 0..40_000_000_u64].prop_map(Step::Back),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (prop::option::of(1..9_u32), prop::option::of(100..2_000_u64), prop::option::of(1..30_u32))
        .prop_map(|(rpm, tpm, rpd)| Limits::new(rpm, tpm, rpd))
}

/// A call as the provider sees it.
#[derive(Clone, Debug)]
struct Call {
    reservation: Reservation,
    /// In time that never goes back.
    at: Millis,
    tokens: u64,
    sent: bool,
}

/// Every call that was sent, and the true time.
#[derive(Default)]
struct Model {
    now: Millis,
    behind: Millis,
    calls: Vec<Call>,
    under_way: Vec<usize>,
}

impl Model {
    fn wall(&self) -> Millis {
        START + 100_000_000 + self.now - self.behind
    }

    fn grant(&mut self, reservation: Reservation) {
        self.under_way.push(self.calls.len());
        self.calls.push(Call { at: self.now, tokens: reservation.tokens, sent: true, reservation });
    }

    fn release(&mut self, which: usize) -> Option<Reservation> {
        let index = self.take(which)?;
        self.calls[index].sent = false;
        Some(self.calls[index].reservation.clone())
    }

    fn sent(&mut self, which: usize, used: Option<u64>) -> Option<Reservation> {
        let index = self.take(which)?;
        let call = &mut self.calls[index];
        call.tokens = used.unwrap_or(call.tokens);
        Some(call.reservation.clone())
    }

    /// Less than a day in all: a day that was begun is then not begun again.
    fn put_back(&mut self, by: Millis) {
        if self.behind + by < 24 * 3_600_000 {
            self.behind += by;
        }
    }

    fn today(&self, day: Millis) -> usize {
        self.calls.iter().filter(|call| call.sent && call.reservation.day_end == day).count()
    }

    fn take(&mut self, which: usize) -> Option<usize> {
        (!self.under_way.is_empty()).then(|| self.under_way.remove(which % self.under_way.len()))
    }

    /// What the provider counts when a call was granted: nothing beyond the limits.
    fn check(&self, limits: Limits) {
        let minute = || self.calls.iter().filter(|call| call.sent && call.at + WINDOW > self.now);
        if let Some(rpm) = limits.rpm {
            assert!(minute().count() <= rpm as usize, "{} requests in a minute", minute().count());
        }
        if let Some(tpm) = limits.tpm {
            let tokens: u64 = minute().map(|call| call.tokens).sum();
            assert!(tokens <= tpm, "{tokens} tokens in a minute");
        }
        if let Some(rpd) = limits.rpd {
            let day = self.calls.last().unwrap().reservation.day_end;
            assert!(self.today(day) <= rpd as usize, "{} requests in a day", self.today(day));
        }
    }
}

fn group() -> Arc<Group> {
    Arc::new(Group { project: "a".into(), model: "m".into() })
}

/// Granted at the time that the refusal names, not a millisecond earlier.
fn check_exact(record: &QuotaRecord, wall: Millis, tokens: u64, limits: Limits) {
    let ask = |at: Millis| record.clone().reserve(at, tokens, limits, Duration::from_secs(60));
    let denied = ask(wall).unwrap_err();
    match denied.not_before {
        Some(at) => {
            assert!(at > wall, "{denied:?}");
            assert_eq!(ask(at - 1).unwrap_err().not_before, Some(at), "just before {denied:?}");
            assert!(ask(at).is_ok(), "granted at {denied:?}, but: {:?}", ask(at));
        }
        None => assert_eq!(denied.reason, Reason::TooLarge),
    }
}

fn run(steps: Vec<Step>, limits: Limits) {
    let (mut record, mut model) = (QuotaRecord::default(), Model { now: WINDOW, ..Model::default() });
    for step in steps {
        let wall = model.wall();
        match step {
            Step::Wait(by) => model.now += by,
            Step::Back(by) => model.put_back(by),
            Step::Reserve(tokens) => match record.reserve(wall, tokens, limits, Duration::from_secs(60)) {
                Ok(got) => {
                    let number = model.calls.len() as u64;
                    let Admitted { at, day_end, probe, .. } = got;
                    model.grant(Reservation::new(group(), at, tokens, day_end, number, probe));
                    model.check(limits);
                }
                Err(_) => check_exact(&record, wall, tokens, limits),
            },
            Step::Release(which) => {
                if let Some(taken) = model.release(which) {
                    record.settle(wall, &taken, Disposition::Release);
                }
            }
            Step::Sent(which, used, proven) => {
                if let Some(taken) = model.sent(which, used) {
                    record.settle(wall, &taken, Disposition::Sent { input_tokens: used, proven });
                }
            }
            Step::Learn(quota, value) => record.learn(wall, LearnedLimit { quota, value: Some(value) }),
            Step::Tighten(ago) => {
                record.tighten(wall, limits, wall - ago);
            }
            Step::Doubt => record.doubt(wall),
            Step::DayGone => record.exhaust_day(wall, wall),
        }
        let stored = record.to_bytes();
        assert_eq!(QuotaRecord::from_bytes(&stored).unwrap(), record);
        assert!(stored.len() <= 113 + 64 * 12, "{} bytes", stored.len());
    }
}

proptest! {
    #[test]
    fn no_order_of_calls_exceeds_a_limit_and_every_refusal_is_exact(
        steps in vec(step(), 1..250),
        limits in limits(),
    ) {
        run(steps, limits);
    }

    #[test]
    fn no_clock_that_goes_back_exceeds_a_limit(
        steps in vec(step_with_clock(), 1..250),
        limits in limits(),
    ) {
        run(steps, limits);
    }

    /// Batches are late, repeated and out of order.
    #[test]
    fn repeated_batches_exceed_nothing(
        steps in vec((step(), 0..4_usize, any::<prop::sample::Index>()), 1..200),
        limits in limits(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = ManualClock::default();
            let limiter = LocalLimiter::new(Arc::new(clock.clone()));
            let candidate = Candidate { group: group(), limits, key: KeyId::parse("a").unwrap() };
            let mut model = Model { now: WINDOW, ..Model::default() };
            let mut batches: Vec<SettleBatch> = Vec::new();
            for (step, repeats, which) in steps {
                let settled = match step {
                    Step::Wait(by) => {
                        model.now += by;
                        clock.advance(Duration::from_millis(by));
                        None
                    }
                    Step::Reserve(tokens) => {
                        let ask = Ask { tokens, probe_ttl: Duration::from_secs(60) };
                        let reply = limiter.reserve(std::slice::from_ref(&candidate), &[ask], 0).await;
                        for grant in reply.unwrap().grants {
                            model.grant(grant.reservation);
                            model.check(limits);
                        }
                        None
                    }
                    Step::Release(call) => model.release(call).map(|taken| (taken, Disposition::Release)),
                    Step::Sent(call, input_tokens, proven) => model
                        .sent(call, input_tokens)
                        .map(|taken| (taken, Disposition::Sent { input_tokens, proven })),
                    _ => None,
                };
                if let Some((reservation, disposition)) = settled {
                    let settlements = vec![Settlement { reservation, disposition }];
                    let number = batches.len() as u64;
                    batches.push(SettleBatch { epoch: 7, number, settlements, ..SettleBatch::default() });
                    limiter.settle(batches.last().unwrap().clone()).await.unwrap();
                }
                for _ in 0..repeats.min(batches.len()) {
                    limiter.settle(which.get(&batches).clone()).await.unwrap();
                }
            }
            let usage = limiter.snapshot(&[candidate], &[], &[]).await.unwrap().groups[0];
            assert_eq!(usage.day_requests as usize, model.today(usage.day_end));
        });
    }
}
