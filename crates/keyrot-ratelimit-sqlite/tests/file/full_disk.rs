//! A disk without room, played by a limit on the size of files.

use std::process::Command;

use keyrot_core::{LimiterErrorKind, RateLimiter};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::caller::{Place, batch, candidate, reserve, take, usage};

/// Set in the process that this test starts: a signal that ends it is ignored there.
const CHILD: &str = "WRITER_OF_FULL_DISK";
const TEST: &str = "full_disk::a_full_disk_is_told_and_loses_no_count";

/// Writes beyond this size fail in this process from now on.
fn limit_files(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

async fn fill() {
    let place = Place::new();
    let limiter = place.limiter();
    let mut granted = Vec::new();
    take(&limiter, &candidate("p0")).await;
    limit_files(Some(400_000));
    let (mut number, mut errors) = (0, Vec::new());
    while errors.len() < 20 {
        // the first errors make room: the file is opened anew, which folds the log into it
        number += 1;
        assert!(number < 10_000, "the limit does not hold");
        let of = candidate(&format!("p{number}"));
        match reserve(&limiter, &of).await {
            Ok(reserved) => {
                granted.push((of, reserved.grants[0].reservation.clone()));
                errors.clear();
            }
            Err(error) => errors.push(error),
        }
    }
    let error = &errors[0];
    assert!(granted.len() > 5, "{}", granted.len());
    assert_eq!(error.kind(), LimiterErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("state.db") && text.contains("disk"), "{text}");
    // nothing that was granted is lost; what is settled now may find room or not, but counts once
    let taken = granted[0].1.clone();
    let _ = limiter.settle(batch(1, vec![taken.clone()], Vec::new())).await;
    limit_files(None);
    for (of, _) in &granted {
        assert_eq!(usage(&limiter, of).await.day_requests, 1, "{}", of.group);
    }
    assert_eq!(usage(&limiter, &candidate("late")).await.day_requests, 0);
    take(&limiter, &candidate("late")).await;
    limiter.settle(batch(1, vec![taken], Vec::new())).await.unwrap();
    let sound: String = place.open().query_one("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "this test starts itself as another process")]
async fn a_full_disk_is_told_and_loses_no_count() {
    if std::env::var(CHILD).is_ok() {
        return fill().await;
    }
    // the signal for a file that is too large ends a process unless somebody ignores it; that is inherited
    let ignoring = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let child = Command::new("sh")
        .args(["-c", ignoring])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}
