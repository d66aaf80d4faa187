//! The thread that does all of a process's writing: takes what has arrived, books it in one
//! transaction, then answers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use keyrot_core::books::Home;
use keyrot_core::{
    Ask, Candidate, Clock, Disposition, KeyId, LimiterError, LimiterErrorKind, Millis, Reservation, Reserved,
    Scope, SettleBatch, Settled, Snapshot, books,
};
use tokio::sync::{mpsc, oneshot};

use crate::books::Books;
use crate::checkpoints::Checkpoints;
use crate::error::{is_busy, is_damage, sql_error};
use crate::patience::Patience;
use crate::session::Session;

/// Questions of one transaction: other processes wait while it lasts.
const AT_ONCE: usize = 256;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, LimiterError>>;

pub(crate) enum Question {
    Reserve {
        candidates: Vec<Candidate>,
        asks: Vec<Ask>,
        seen: u64,
        reply: Reply<Reserved>,
    },
    Settle {
        batch: SettleBatch,
        reply: Reply<Settled>,
    },
    Snapshot {
        groups: Vec<Candidate>,
        scopes: Vec<Scope>,
        keys: Vec<KeyId>,
        reply: Reply<Snapshot>,
    },
    Reset {
        scope: Scope,
        reply: Reply<()>,
    },
    /// Nobody has waited for the grant of these.
    GiveBack(Vec<Reservation>),
}

enum Answer {
    Reserved(Reserved),
    Settled(Settled),
    Snapshot(Snapshot),
    Done,
}

impl Question {
    /// False if it only looks: then it waits for no other writer.
    fn writes(&self) -> bool {
        match self {
            Self::Reserve { candidates, asks, .. } => !candidates.is_empty() && !asks.is_empty(),
            Self::Snapshot { .. } => false,
            Self::Settle { .. } | Self::Reset { .. } | Self::GiveBack(_) => true,
        }
    }

    /// True if whoever asked has gone, and nothing is lost if he gets no answer.
    fn is_idle(&self) -> bool {
        match self {
            Self::Reserve { reply, .. } => reply.is_closed(),
            Self::Snapshot { reply, .. } => reply.is_closed(),
            Self::Settle { .. } | Self::Reset { .. } | Self::GiveBack(_) => false,
        }
    }

    fn put(&self, home: &mut Books<'_>, now: Millis) -> Result<Answer, LimiterError> {
        match self {
            Self::Reserve { candidates, asks, seen, .. } => {
                books::reserve(home, now, candidates, asks, *seen).map(Answer::Reserved)
            }
            Self::Settle { batch, .. } => books::settle(home, now, batch).map(Answer::Settled),
            Self::Snapshot { groups, scopes, keys, .. } => {
                books::snapshot(home, now, groups, scopes, keys).map(Answer::Snapshot)
            }
            Self::Reset { scope, .. } => books::reset(home, now, scope).map(|()| Answer::Done),
            Self::GiveBack(reservations) => {
                for taken in reservations {
                    home.known_quota(&taken.group, |record| record.settle(now, taken, Disposition::Release))?;
                }
                Ok(Answer::Done)
            }
        }
    }

    /// Tells whoever asked; returns what was taken for somebody who has gone.
    fn tell(self, answer: Result<Answer, LimiterError>) -> Vec<Reservation> {
        // whoever has gone needs no answer
        match (self, answer) {
            (Self::Reserve { reply, .. }, Ok(Answer::Reserved(reserved))) => {
                if let Err(Ok(reserved)) = reply.send(Ok(reserved)) {
                    return reserved.grants.into_iter().map(|grant| grant.reservation).collect();
                }
            }
            (Self::Reserve { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Settle { reply, .. }, Ok(Answer::Settled(settled))) => drop(reply.send(Ok(settled))),
            (Self::Settle { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Snapshot { reply, .. }, Ok(Answer::Snapshot(snapshot))) => drop(reply.send(Ok(snapshot))),
            (Self::Snapshot { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Reset { reply, .. }, answer) => drop(reply.send(answer.map(drop))),
            (_, _) => {}
        }
        Vec::new()
    }
}

pub(crate) struct Writer {
    path: Arc<Path>,
    pool: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    rng: fastrand::Rng,
    session: Option<Session>,
    checkpoints: Checkpoints,
    reservations: u64,
}

impl Writer {
    pub(crate) fn new(path: Arc<Path>, pool: String, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let from_time = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let seed = from_time as u64 ^ u64::from(std::process::id()).rotate_left(40);
        Self {
            checkpoints: Checkpoints::new(Arc::clone(&path)),
            path,
            pool,
            timeout,
            clock,
            rng: fastrand::Rng::with_seed(seed),
            session: None,
            reservations: 0,
        }
    }

    /// Until nobody can ask any more.
    pub(crate) fn run(mut self, mut questions: mpsc::UnboundedReceiver<Question>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while questions.blocking_recv_many(&mut batch, AT_ONCE) > 0 {
            let taken_for_nobody = self.serve(&mut batch);
            if !taken_for_nobody.is_empty() {
                batch.push(Question::GiveBack(taken_for_nobody));
                self.serve(&mut batch);
            }
        }
    }

    fn serve(&mut self, batch: &mut Vec<Question>) -> Vec<Reservation> {
        batch.retain(|question| !question.is_idle());
        let mut taken_for_nobody = Vec::new();
        match self.transaction(batch) {
            // a record that nobody can read spoils the answer of those alone who asked for it
            Err(error) if error.kind() == LimiterErrorKind::Incompatible && batch.len() > 1 => {
                for question in batch.drain(..) {
                    let answer = self.transaction(std::slice::from_ref(&question));
                    let answer = answer.map(|mut answers| answers.pop().unwrap_or(Answer::Done));
                    taken_for_nobody.append(&mut question.tell(answer));
                }
            }
            Err(error) => {
                for question in batch.drain(..) {
                    question.tell(Err(error.clone()));
                }
            }
            Ok(answers) => {
                for (question, answer) in batch.drain(..).zip(answers) {
                    taken_for_nobody.append(&mut question.tell(Ok(answer)));
                }
            }
        }
        taken_for_nobody
    }

    /// All of them, or an error and none.
    fn transaction(&mut self, batch: &[Question]) -> Result<Vec<Answer>, LimiterError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut rng = self.rng.fork();
        let mut patience = Patience::new(&mut rng, self.timeout);
        let mut suspect = false;
        loop {
            match self.try_transaction(batch, suspect, &mut patience) {
                Err(error) if is_busy(&error) && patience.pause() => {}
                Err(error) if is_damage(&error) && !suspect => {
                    self.session = None;
                    suspect = true;
                }
                done => return done,
            }
        }
    }

    fn try_transaction(
        &mut self,
        batch: &[Question],
        suspect: bool,
        patience: &mut Patience<'_>,
    ) -> Result<Vec<Answer>, LimiterError> {
        if self.session.as_ref().is_some_and(|session| !session.is_in_place(&self.path)) {
            self.session = None;
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = Session::open(&self.path, &self.pool, wall(&*self.clock), suspect, patience)?;
                self.checkpoints.opened();
                session
            }
        };
        let writes = batch.iter().any(Question::writes);
        let done = self.book(&session, batch, writes);
        // a session that cannot even go back is given up
        if done.is_ok() || session.roll_back().is_ok() {
            self.session = Some(session);
        }
        if writes && done.is_ok() {
            self.checkpoints.committed();
        }
        done
    }

    fn book(
        &mut self,
        session: &Session,
        batch: &[Question],
        writes: bool,
    ) -> Result<Vec<Answer>, LimiterError> {
        let sql = |error| sql_error(&self.path, error);
        session.begin(writes).map_err(sql)?;
        let now = wall(&*self.clock); // after the lock is ours, so that times follow the order of writers
        let mut books =
            Books::open(&session.connection, &self.path, session.pool, now, &mut self.reservations)?;
        let answers: Vec<Answer> =
            batch.iter().map(|question| question.put(&mut books, now)).collect::<Result<_, _>>()?;
        if writes {
            books.prune()?;
            books.write_back()?;
        }
        session.commit().map_err(sql)?;
        Ok(answers)
    }
}

fn wall(clock: &dyn Clock) -> Millis {
    let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX / 2)
}
