//! What the file holds, for whom, and how long.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use keyrot_core::{KeyId, RateLimiter, Reason, Scope, Span, Tally, Verdict};

use crate::caller::{Place, batch, candidate, reserve, take, usage};

fn block(scope: &Scope) -> Verdict {
    let (reason, span) = (Reason::Cooldown, Span::Named(Duration::from_secs(3600)));
    Verdict::Block { scope: scope.clone(), reason, span, since: 1 }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let path = place.folder.path().join("made/for/it/state.db");
    let options = keyrot_ratelimit_sqlite::SqliteOptions::new(&path);
    take(&options.limiter().unwrap(), &candidate("p")).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = path.parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn pools_of_one_file_share_nothing_though_their_ids_are_the_same() {
    let place = Place::new();
    let (one, other) = (place.limiter(), place.options().pool("other").limiter().unwrap());
    let (of, scope, key) = (candidate("p"), Scope::Project("p".into()), KeyId::parse("k").unwrap());
    let mut told = batch(7, vec![take(&one, &of).await], vec![block(&scope)]);
    told.tallies = vec![Tally { key: key.clone(), used_at: 5, successes: 1, errors: 0, abandoned: 0 }];
    one.settle(told).await.unwrap();
    let everything = (std::slice::from_ref(&of), std::slice::from_ref(&scope), std::slice::from_ref(&key));
    let there = other.snapshot(everything.0, everything.1, everything.2).await.unwrap();
    assert_eq!(there.groups[0].day_requests, 0);
    assert!(there.scopes[0].is_healthy());
    assert_eq!(there.counters[0].successes, 0);
    assert_eq!(other.reserve(&[], &[], 0).await.unwrap().generation, 0);
    // a batch of the same name and number is another batch there
    let taken = take(&other, &of).await;
    other.settle(batch(7, vec![taken], vec![block(&scope)])).await.unwrap();
    assert!(!other.snapshot(&[], &[scope], &[]).await.unwrap().scopes[0].is_healthy());
    assert_eq!(usage(&one, &of).await.day_requests, 1);
}

#[tokio::test]
async fn what_was_counted_and_reset_outlives_every_process() {
    let place = Place::new();
    let (of, scope) = (candidate("p"), Scope::Project("p".into()));
    let first = place.limiter();
    let taken = take(&first, &of).await;
    first.settle(batch(1, vec![taken], vec![block(&scope)])).await.unwrap();
    drop(first);
    let second = place.limiter();
    assert_eq!(usage(&second, &of).await.minute_requests, 1);
    let told = second.reserve(&[], &[], 0).await.unwrap();
    assert!(told.changed[0].record.blocked(told.now).is_some());
    second.reset(&scope).await.unwrap();
    drop(second);
    let third = place.limiter();
    let told = third.reserve(&[], &[], 0).await.unwrap();
    assert!(told.changed[0].scope == scope && told.changed[0].record.is_healthy());
    let after = third.snapshot(&[of], &[scope], &[]).await.unwrap();
    assert!(after.scopes[0].is_healthy());
    assert_eq!(after.groups[0].day_requests, 1, "a reset gives no quota back");
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_dropped_from_the_file() {
    let place = Place::new();
    let limiter = place.limiter();
    let key = KeyId::parse("k").unwrap();
    let mut told = batch(1, vec![take(&limiter, &candidate("p")).await], vec![block(&Scope::Host)]);
    told.tallies = vec![Tally { key: key.clone(), used_at: 5, successes: 1, errors: 0, abandoned: 0 }];
    limiter.settle(told).await.unwrap();
    let all = ["counter:k", "issuer:0000000000000001", "quota:p/m", "scope:host"];
    assert_eq!(place.rows(), all);
    let hours = async |hours: u64| {
        place.clock.advance(Duration::from_secs(hours * 3600));
        reserve(&limiter, &candidate("zero")).await.unwrap(); // somebody comes by
        place.rows()
    };
    assert_eq!(hours(19).await, [&all[..3], &["quota:zero/m", all[3]]].concat());
    let day_is_over = hours(2).await;
    assert_eq!(day_is_over, [all[0], all[1], "quota:zero/m", all[3]]);
    assert_eq!(hours(5).await, [all[0], "quota:zero/m", all[3]]);
    assert_eq!(hours(26).await, [all[0], "quota:zero/m"]);
    let counted =
        async || limiter.snapshot(&[], &[], std::slice::from_ref(&key)).await.unwrap().counters[0].successes;
    assert_eq!(counted().await, 1);
    assert_eq!(hours(7 * 24).await, ["quota:zero/m"]);
    assert_eq!(counted().await, 0, "nor does whoever wrote it know it any more");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_given_back() {
    let place = Place::new();
    let (limiter, of) = (place.limiter(), candidate("p"));
    let taken = take(&limiter, &of).await;
    limiter.settle(batch(1, vec![taken], Vec::new())).await.unwrap();
    let (mut received, mut left) = (1, 0);
    for _ in 0..200 {
        // two who ask together ask the writer's thread
        let mut both = [(); 2].map(|()| Box::pin(reserve(&limiter, &of)));
        for waiting in &mut both {
            let begun = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
            match begun {
                Poll::Ready(reserved) => received += reserved.unwrap().grants.len() as u32,
                Poll::Pending => left += 1,
            }
        }
    }
    // what was granted in vain is given back at the latest behind the answer to one question more
    usage(&limiter, &of).await;
    assert_eq!(usage(&limiter, &of).await.day_requests, received);
    assert!(left > 0, "none was left waiting");
}
