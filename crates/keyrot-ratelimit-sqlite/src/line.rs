//! Where questions wait to be booked.
//!
//! The questions of several callers go to the writer's thread, which books whatever has arrived together. Whoever
//! asks while nobody else does books his own question, if that takes no waiting: to wake the writer's thread
//! and then the caller again takes longer than a commit.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::mpsc;

use crate::question::Question;
use crate::writer::Writer;

/// Questions of one transaction: other processes wait while it lasts.
const AT_ONCE: usize = 256;

/// Questions after which those who had met are thought to have gone.
const COMPANY: u32 = 32;

/// The callers' end; the thread ends with its last clone.
#[derive(Clone)]
pub(crate) struct Line {
    /// Let go of before the thread hears of the end: who closes the file waits for the disk.
    writer: Arc<Mutex<Writer>>,
    present: Arc<Present>,
    thread: mpsc::UnboundedSender<Question>,
}

/// The thread's end.
pub(crate) struct Served {
    writer: Arc<Mutex<Writer>>,
    present: Arc<Present>,
    questions: mpsc::UnboundedReceiver<Question>,
}

/// Who is there.
#[derive(Default)]
struct Present {
    /// Questions that the thread has not answered yet.
    with_thread: AtomicUsize,
    alone: Mutex<Alone>,
}

#[derive(Default)]
struct Alone {
    /// Of somebody who has seen nobody else so far.
    question: Option<Question>,
    /// So many more go to the thread without looking around: where several have met they meet again.
    company: u32,
}

/// The thread has ended: nothing is booked any more.
pub(crate) struct Ended;

impl Line {
    pub(crate) fn new(writer: Writer) -> (Self, Served) {
        let (thread, questions) = mpsc::unbounded_channel();
        let (writer, present) = (Arc::new(Mutex::new(writer)), Arc::<Present>::default());
        let served = Served { writer: Arc::clone(&writer), present: Arc::clone(&present), questions };
        (Self { writer, present, thread }, served)
    }

    /// Sees to it that the question is answered. Whoever gives up before that has asked all the same.
    pub(crate) async fn put(&self, question: Question) -> Result<(), Ended> {
        if !question.is_short() {
            return self.send(question);
        }
        {
            let mut alone = lock(&self.present.alone);
            if alone.question.is_some() || self.present.with_thread.load(Ordering::Acquire) > 0 {
                alone.company = COMPANY;
                let first = alone.question.take();
                drop(alone);
                first.map_or(Ok(()), |first| self.send(first))?;
                return self.send(question);
            }
            if alone.company > 0 {
                alone.company -= 1;
                drop(alone);
                return self.send(question);
            }
            alone.question = Some(question);
        }
        let left_behind = LeftBehind(self);
        look_around().await;
        let question = lock(&self.present.alone).question.take();
        drop(left_behind);
        match question.and_then(|question| self.book(question)) {
            Some(question) => self.send(question),
            None => Ok(()), // or others have come, and it went with theirs
        }
    }

    /// Leaves it to the thread.
    pub(crate) fn send(&self, question: Question) -> Result<(), Ended> {
        self.present.with_thread.fetch_add(1, Ordering::AcqRel);
        self.thread.send(question).map_err(|_| Ended)
    }

    /// Answers it here and now, or gives it back.
    fn book(&self, question: Question) -> Option<Question> {
        let answer = match self.writer.try_lock() {
            Ok(mut writer) => writer.book_at_once(&question),
            Err(_) => None, // the thread is at it, or has ended
        };
        let Some(answer) = answer else { return Some(question) };
        let taken_for_nobody = question.tell(answer);
        (!taken_for_nobody.is_empty()).then_some(Question::GiveBack(taken_for_nobody))
    }
}

/// The question of somebody who gives up while he looks around goes to the thread.
struct LeftBehind<'l>(&'l Line);

impl Drop for LeftBehind<'_> {
    fn drop(&mut self) {
        if let Some(question) = lock(&self.0.present.alone).question.take() {
            let _ = self.0.send(question); // without a thread there is nobody to tell
        }
    }
}

/// Lets all who are about to ask do so.
async fn look_around() {
    let mut looked = false;
    poll_fn(|context| {
        if looked {
            return Poll::Ready(());
        }
        looked = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Served {
    /// Until nobody can ask any more.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while self.questions.blocking_recv_many(&mut batch, AT_ONCE) > 0 {
            let came = batch.len();
            batch.retain(|question| !question.is_idle());
            let answers = lock(&self.writer).book(&batch);
            // before they are told: who asks again at once need not come here
            self.present.with_thread.fetch_sub(came, Ordering::AcqRel);
            let mut taken_for_nobody = Vec::new();
            for (question, answer) in batch.drain(..).zip(answers) {
                taken_for_nobody.append(&mut question.tell(answer));
            }
            if !taken_for_nobody.is_empty() {
                lock(&self.writer).book(&[Question::GiveBack(taken_for_nobody)]);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyrot_core::{
        Ask, Candidate, Group, KeyId, LimiterError, Limits, ManualClock, Reservation, Reserved, SettleBatch,
    };
    use rusqlite::Connection;
    use tempfile::TempDir;
    use tokio::sync::oneshot::{self, Receiver};

    use super::*;
    use crate::session::LOOK_EVERY;

    type Told<T> = Receiver<Result<T, LimiterError>>;

    /// A line whose file is open, in a folder of its own. Nobody serves it but those who come alone.
    fn open() -> (TempDir, Line, Served) {
        open_at(&ManualClock::default())
    }

    fn open_at(clock: &ManualClock) -> (TempDir, Line, Served) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db").into();
        let clock = Arc::new(clock.clone());
        let mut writer = Writer::new(path, "p".to_owned(), Duration::from_secs(20), clock, false);
        let (question, mut told) = reserve();
        let answer = writer.book(std::slice::from_ref(&question)).pop().unwrap();
        question.tell(answer);
        assert!(told.try_recv().unwrap().is_ok());
        let (line, served) = Line::new(writer);
        (folder, line, served)
    }

    fn reserve() -> (Question, Told<Reserved>) {
        let (reply, told) = oneshot::channel();
        let group = Group { project: "p".into(), model: "m".into() };
        let key = KeyId::parse("k").unwrap();
        let candidates = vec![Candidate { group: Arc::new(group), limits: Limits::default(), key }];
        let asks = vec![Ask { tokens: 10, probe_ttl: Duration::from_secs(60) }];
        (Question::Reserve { candidates, asks, seen: u64::MAX, reply }, told)
    }

    /// Whether it was answered without the thread.
    async fn is_answered_at_once(line: &Line) -> bool {
        let (question, mut told) = reserve();
        assert!(line.put(question).await.is_ok());
        told.try_recv().is_ok()
    }

    fn serve(served: Served) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || served.run())
    }

    #[tokio::test]
    async fn who_comes_alone_needs_no_thread() {
        let (_folder, line, _served) = open();
        for _ in 0..10 {
            assert!(is_answered_at_once(&line).await);
        }
    }

    #[tokio::test]
    async fn several_go_to_the_thread_together_and_go_on_to_until_one_is_alone_for_long() {
        let (_folder, line, served) = open();
        let (questions, told): (Vec<_>, Vec<_>) = (0..3).map(|_| reserve()).unzip();
        let mut questions = questions.into_iter().map(|question| line.put(question));
        let (a, b, c) = (questions.next().unwrap(), questions.next().unwrap(), questions.next().unwrap());
        let (a, b, c) = tokio::join!(a, b, c);
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(line.present.with_thread.load(Ordering::Acquire), 3);
        assert!(!is_answered_at_once(&line).await, "the thread has not answered yet");
        let thread = serve(served);
        for told in told {
            assert!(told.await.unwrap().is_ok());
        }
        for left in (0..COMPANY).rev() {
            let (question, told) = reserve();
            assert!(line.put(question).await.is_ok());
            assert!(told.await.unwrap().is_ok());
            assert_eq!(lock(&line.present.alone).company, left, "he did not look around");
        }
        assert!(is_answered_at_once(&line).await);
        drop(line);
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn who_would_have_to_wait_goes_to_the_thread() {
        let (folder, line, _served) = open();
        let path = folder.path().join("state.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(!is_answered_at_once(&line).await, "another process writes");
        other.execute_batch("COMMIT").unwrap();
        line.present.with_thread.store(0, Ordering::Release);
        assert!(!is_answered_at_once(&line).await, "another process wrote just now");

        let clock = ManualClock::default();
        let (folder, line, _served) = open_at(&clock);
        std::fs::rename(folder.path().join("state.db"), folder.path().join("moved.db")).unwrap();
        clock.advance(LOOK_EVERY);
        assert!(!is_answered_at_once(&line).await, "another file has to be opened");
        assert!(!folder.path().join("state.db").exists());

        let (_folder, line, _served) = open();
        let writer = line.writer.lock().unwrap();
        assert!(line.book(reserve().0).is_some(), "the thread is writing");
        drop(writer);
    }

    #[tokio::test]
    async fn a_report_of_somebody_who_gives_up_is_booked() {
        let (_folder, line, served) = open();
        let (question, told) = reserve();
        assert!(line.put(question).await.is_ok());
        let taken: Reservation = told.await.unwrap().unwrap().grants.remove(0).reservation;
        let disposition = keyrot_core::Disposition::Release;
        let settlements = vec![keyrot_core::Settlement { reservation: taken, disposition }];
        let batch = SettleBatch { epoch: 1, number: 1, settlements, ..SettleBatch::default() };
        let (reply, told) = oneshot::channel();
        let mut putting = Box::pin(line.put(Question::Settle { batch, recalls: false, reply }));
        let begun = poll_fn(|context| Poll::Ready(putting.as_mut().poll(context).is_pending())).await;
        assert!(begun, "he looks around first");
        drop(putting);
        let thread = serve(served);
        assert!(told.await.unwrap().is_ok());
        drop(line);
        thread.join().unwrap();
    }
}
