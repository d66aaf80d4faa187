//! The metrics of a limiter that may be away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use keyrot_core::{FailurePolicy, RateLimiter};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::server::Server;

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, f64>>>);

struct One(Kept, String);

impl Kept {
    fn handle(&self, key: &Key) -> Arc<One> {
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        Arc::new(One(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }

    fn get(&self, name: &str) -> f64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or(f64::NAN)
    }

    /// The modes that hold.
    fn modes(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap();
        let of_mode = |name: &str| name.strip_prefix("keyrot_limiter_mode local ").map(ToOwned::to_owned);
        kept.iter().filter(|(_, value)| **value == 1.0).filter_map(|(name, _)| of_mode(name)).collect()
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value as f64;
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.handle(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.handle(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn metrics_say_what_holds_and_how_often_the_limiter_was_away() {
    let kept = Kept::default();
    let outages = "keyrot_limiter_outages_total local";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&kept, || {
        runtime.block_on(async {
            let server = Server::new(1);
            let limiter = server.guarded(FailurePolicy::Share, 1);
            limiter.tend().await;
            assert_eq!(kept.modes(), ["shared"]);
            for times in [1.0, 2.0] {
                server.be_away(true);
                for _ in 0..3 {
                    let _ = limiter.reserve(&[], &[], 0).await;
                }
                assert_eq!((kept.modes(), kept.get(outages)), (vec!["share".to_owned()], times));
                server.be_away(false);
                server.advance(500);
                limiter.tend().await;
                assert_eq!((kept.modes(), kept.get(outages)), (vec!["shared".to_owned()], times));
            }
        });
    });
}
