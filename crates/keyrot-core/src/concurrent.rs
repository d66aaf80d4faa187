//! Several futures at the same time, without a runtime's tasks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

/// How many run at the same time.
const AT_A_TIME: usize = 8;

/// What `each` makes of all of them, in their order.
pub(crate) async fn a_few_at_a_time<T: Send, R: Send, F: Future<Output = R> + Send>(
    all: Vec<T>,
    each: impl Fn(T) -> F + Sync,
) -> Vec<R> {
    let queue = Mutex::new(all.into_iter().enumerate());
    let done = Mutex::default();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || async {
        while let Some((index, one)) = next() {
            let result = each(one).await;
            Vec::push(&mut done.lock().unwrap_or_else(PoisonError::into_inner), (index, result));
        }
    };
    let mut workers: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    workers.resize_with(AT_A_TIME, || Box::pin(worker()));
    poll_fn(|context| {
        workers.retain_mut(|worker| worker.as_mut().poll(context).is_pending());
        if workers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    drop(workers);
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
