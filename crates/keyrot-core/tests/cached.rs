//! The cache of secrets: one read for all, time to live, refresh ahead of it, a store that is down.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

#[path = "common/counting.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Bench, TTL, key, seen, settle};
use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{SecretCache, SecretErrorKind};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_hundred_concurrent_fetches_are_one_read() {
    let bench = Bench::new();
    bench.close();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let cache = bench.cache.clone();
            tokio::spawn(async move { cache.get(&key("a")).await.unwrap().version })
        })
        .collect();
    settle().await;
    bench.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), 1);
    }
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn a_hundred_concurrent_fetches_of_a_missing_secret_are_one_read() {
    let bench = Bench::new();
    bench.close();
    bench.answer(Err(SecretErrorKind::NotFound));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let cache = bench.cache.clone();
            tokio::spawn(async move { cache.get(&key("a")).await.unwrap_err().kind() })
        })
        .collect();
    settle().await;
    bench.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), SecretErrorKind::NotFound);
    }
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn a_value_is_read_again_when_its_time_is_over_and_counts_up_only_if_it_changed() {
    let bench = Bench::new();
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 1));
    bench.clock.advance(TTL - SECOND);
    bench.get().await.unwrap();
    assert_eq!(bench.reads(), 1);
    bench.clock.advance(SECOND);
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 1));
    assert_eq!(bench.reads(), 2);
    bench.answer(Ok("two"));
    bench.clock.advance(TTL);
    assert_eq!(seen(&bench.get().await.unwrap()), ("two-a", 2));
}

#[tokio::test]
async fn keys_do_not_share_values() {
    let bench = Bench::new();
    let (a, b) = (bench.cache.get(&key("a")).await.unwrap(), bench.cache.get(&key("b")).await.unwrap());
    assert_eq!((seen(&a), seen(&b)), (("one-a", 1), ("one-b", 1)));
}

#[tokio::test]
async fn the_last_good_value_stays_while_the_store_is_down() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Err(SecretErrorKind::Unavailable));
    bench.clock.advance(TTL);
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 1));
    bench.get().await.unwrap();
    assert_eq!(bench.reads(), 2, "a store that is down is not asked on each call");
    bench.answer(Ok("two"));
    bench.clock.advance(SecretCache::PAUSE);
    assert_eq!(seen(&bench.get().await.unwrap()), ("two-a", 2));
}

#[tokio::test]
async fn a_store_that_does_not_know_us_any_more_says_nothing_about_the_secret() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Err(SecretErrorKind::Unauthenticated));
    bench.clock.advance(TTL);
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 1));
}

#[tokio::test]
async fn a_key_loses_a_secret_that_is_gone_and_comes_back_under_a_new_version() {
    for kind in [SecretErrorKind::NotFound, SecretErrorKind::Disabled, SecretErrorKind::Denied] {
        let bench = Bench::new();
        bench.get().await.unwrap();
        bench.answer(Err(kind));
        bench.clock.advance(TTL);
        assert_eq!(bench.get().await.unwrap_err().kind(), kind);
        assert!(bench.cache.peek(&key("a").key_id).is_none());
        bench.answer(Ok("one"));
        bench.clock.advance(SecretCache::PAUSE);
        assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 2));
    }
}

#[tokio::test]
async fn a_missing_secret_is_not_asked_for_on_each_call() {
    let bench = Bench::new();
    bench.answer(Err(SecretErrorKind::NotFound));
    for _ in 0..3 {
        assert_eq!(bench.get().await.unwrap_err().locator(), "test:a");
    }
    assert_eq!(bench.reads(), 1);
    bench.clock.advance(SecretCache::PAUSE);
    bench.get().await.unwrap_err();
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn peek_gives_what_is_held_however_old_and_never_reads() {
    let bench = Bench::new();
    let id = key("a").key_id;
    assert!(bench.cache.peek(&id).is_none());
    bench.get().await.unwrap();
    bench.clock.advance(TTL * 100);
    assert_eq!(seen(&bench.cache.peek(&id).unwrap()), ("one-a", 1));
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn no_call_waits_for_a_read_while_a_value_is_held() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.clock.advance(TTL);
    bench.close();
    let reader = tokio::spawn({
        let cache = bench.cache.clone();
        async move { cache.refresh_due().await }
    });
    settle().await;
    assert_eq!(bench.reads(), 2, "the reader is under way");
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 1));
    bench.open();
    reader.await.unwrap();
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn refresh_reads_what_is_past_four_fifths_of_its_time_and_nothing_else() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.clock.advance(TTL * 4 / 5 - SECOND);
    bench.cache.refresh_due().await;
    assert_eq!(bench.reads(), 1);
    bench.cache.get(&key("young")).await.unwrap();
    bench.clock.advance(SECOND);
    bench.answer(Ok("two"));
    bench.cache.refresh_due().await;
    assert_eq!(bench.reads(), 3, "only the older of the two");
    assert_eq!(seen(&bench.cache.peek(&key("a").key_id).unwrap()), ("two-a", 2));
    bench.clock.advance(TTL - SECOND);
    bench.get().await.unwrap();
    assert_eq!(bench.reads(), 3, "its time began anew");
}

#[tokio::test]
async fn a_refresh_that_fails_is_tried_again_after_a_pause_and_harms_no_call() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.clock.advance(TTL * 4 / 5);
    bench.answer(Err(SecretErrorKind::Unavailable));
    bench.cache.refresh_due().await;
    bench.cache.refresh_due().await;
    assert_eq!(bench.reads(), 2);
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 1));
    bench.clock.advance(SecretCache::PAUSE);
    bench.answer(Ok("one"));
    bench.cache.refresh_due().await;
    assert_eq!(bench.reads(), 3);
}

#[tokio::test]
async fn refresh_reads_eight_keys_at_a_time() {
    let bench = Bench::new();
    for number in 0..20 {
        bench.cache.get(&key(&format!("k{number}"))).await.unwrap();
    }
    bench.clock.advance(TTL);
    bench.close();
    let reader = tokio::spawn({
        let cache = bench.cache.clone();
        async move { cache.refresh_due().await }
    });
    settle().await;
    bench.open();
    reader.await.unwrap();
    assert_eq!(bench.reads(), 40);
    assert_eq!(bench.store.most_under_way.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn preloading_reads_eight_keys_at_a_time_and_names_what_is_missing_in_order() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Err(SecretErrorKind::NotFound));
    bench.close();
    let keys = ["z", "a", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "b"].map(key);
    let reader = tokio::spawn({
        let cache = bench.cache.clone();
        async move { cache.preload(keys.into()).await }
    });
    settle().await;
    bench.open();
    let missing: Vec<String> =
        reader.await.unwrap().into_iter().map(|(key, error)| format!("{} {error}", key.key_id)).collect();
    let expected = ["z", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "b"];
    assert_eq!(missing, expected.map(|id| format!("{id} test:{id}: scripted")));
    assert_eq!(bench.reads(), 11, "what is held is not read again");
    assert_eq!(bench.store.most_under_way.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_dropped_reader_strands_nobody() {
    let bench = Bench::new();
    bench.close();
    let spawn_get =
        |cache: Arc<SecretCache>| tokio::spawn(async move { cache.get(&key("a")).await.unwrap().version });
    let leader = spawn_get(bench.cache.clone());
    settle().await;
    let followers: Vec<_> = (0..10).map(|_| spawn_get(bench.cache.clone())).collect();
    settle().await;
    assert_eq!(bench.reads(), 1);
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    bench.open();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), 1);
    }
    assert_eq!(bench.reads(), 2, "one follower took over for all");
}

#[tokio::test]
async fn retain_forgets_the_others_and_never_gives_a_version_twice() {
    let bench = Bench::new();
    for id in ["a", "b"] {
        bench.cache.get(&key(id)).await.unwrap();
    }
    bench.cache.retain([&key("b")]);
    assert!(bench.cache.peek(&key("a").key_id).is_none());
    assert!(bench.cache.peek(&key("b").key_id).is_some());
    assert_eq!(seen(&bench.get().await.unwrap()), ("one-a", 2));
}

#[tokio::test]
async fn a_key_whose_secret_moved_is_read_from_the_new_place() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    let mut moved = key("a");
    moved.secret = Some("elsewhere".to_owned());
    assert_eq!(bench.cache.get(&moved).await.unwrap().version, 2);
    assert_eq!(bench.reads(), 2);
    bench.cache.retain([&key("a")]);
    assert!(bench.cache.peek(&key("a").key_id).is_none());
}

#[tokio::test]
async fn a_read_that_ends_after_its_key_was_forgotten_is_not_kept() {
    let bench = Bench::new();
    bench.close();
    let cache = bench.cache.clone();
    let call = tokio::spawn(async move { cache.get(&key("a")).await.unwrap() });
    settle().await;
    bench.cache.retain([]);
    bench.open();
    assert_eq!(call.await.unwrap().secret.expose_secret(), "one-a");
    assert!(bench.cache.peek(&key("a").key_id).is_none());
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let bench = Bench::new();
    let value = bench.get().await.unwrap();
    let shown = format!("{value:?} {:?} {:#?}", bench.cache, bench.cache);
    assert!(shown.contains("VersionedSecret { version: 1, .. }") && !shown.contains("one-a"), "{shown}");
}
