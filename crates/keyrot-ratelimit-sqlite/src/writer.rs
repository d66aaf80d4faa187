//! Books the questions of a process, those that have come together in one transaction.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use keyrot_core::{Clock, LimiterError, LimiterErrorKind, Millis};

use crate::books::Books;
use crate::checkpoints::Checkpoints;
use crate::error::{forgotten, is_busy, is_damage, is_of_file, sql_error};
use crate::patience::Patience;
use crate::question::{Answer, Question};
use crate::session::{Place, Session};
use crate::turns::Turns;

pub(crate) struct Writer {
    path: Arc<Path>,
    pool: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    tells_loss: bool,
    rng: fastrand::Rng,
    session: Option<Session>,
    /// Of the pool, as the callers know it; `None` until it was opened.
    memory: Option<i64>,
    checkpoints: Checkpoints,
    turns: Turns,
    reservations: u64,
}

impl Writer {
    pub(crate) fn new(
        path: Arc<Path>,
        pool: String,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        tells_loss: bool,
    ) -> Self {
        let from_time = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let seed = from_time as u64 ^ u64::from(std::process::id()).rotate_left(40);
        Self {
            checkpoints: Checkpoints::new(Arc::clone(&path)),
            path,
            pool,
            timeout,
            clock,
            tells_loss,
            rng: fastrand::Rng::with_seed(seed),
            session: None,
            memory: None,
            turns: Turns::default(),
            reservations: 0,
        }
    }

    /// What each of them is told.
    pub(crate) fn book(&mut self, batch: &[Question]) -> Vec<Result<Answer, LimiterError>> {
        match self.transaction(batch) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            // what is wrong with one of them is not told to the others
            Err(error) if error.kind() != LimiterErrorKind::Unavailable && batch.len() > 1 => {
                batch.iter().flat_map(|question| self.book(std::slice::from_ref(question))).collect()
            }
            Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// What it is told; `None` if anybody or anything has to be waited for: another process, the disk.
    pub(crate) fn book_at_once(&mut self, question: &Question) -> Option<Result<Answer, LimiterError>> {
        if !self.is_open() || self.turns.met_lately(self.clock.now()) || self.checkpoints.wait_for_disk() {
            return None;
        }
        let session = self.session.take()?;
        match self.try_book(session, std::slice::from_ref(question)) {
            Ok(mut answers) => answers.pop().map(Ok),
            Err(error) if is_busy(&error) => {
                self.meet();
                None
            }
            Err(error) if is_damage(&error) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// All of them, or an error and none.
    fn transaction(&mut self, batch: &[Question]) -> Result<Vec<Answer>, LimiterError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut rng = self.rng.fork();
        let mut patience = Patience::new(&mut rng, self.timeout);
        let mut suspect = false;
        self.let_others_write();
        loop {
            match self.try_transaction(batch, suspect, &mut patience) {
                Err(error) if is_busy(&error) && patience.pause() => self.meet(),
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
        let is_open = self.is_open();
        let session = match self.session.take().filter(|_| is_open) {
            Some(session) => session,
            None => self.open(suspect, patience)?,
        };
        self.try_book(session, batch)
    }

    fn try_book(&mut self, mut session: Session, batch: &[Question]) -> Result<Vec<Answer>, LimiterError> {
        self.checkpoints.about_to_commit();
        let writes = batch.iter().any(Question::writes);
        let done = self.book_in(&mut session, batch, writes);
        let is_sound = match &done {
            Ok(_) => true,
            Err(error) => (is_busy(error) || !is_of_file(error)) && session.roll_back().is_ok(),
        };
        self.session = Some(session).filter(|_| is_sound);
        if writes && done.is_ok() {
            self.checkpoints.committed();
            self.turns.end(self.clock.now());
        }
        done
    }

    /// Somebody else has the lock: another process, unless it is our own log that is begun anew.
    fn meet(&mut self) {
        if !self.checkpoints.held_up() {
            self.turns.meet(self.clock.now());
        }
    }

    fn let_others_write(&mut self) {
        let gap = self.turns.gap(self.clock.now());
        if !gap.is_zero() {
            #[expect(
                clippy::disallowed_methods,
                reason = "nobody tells whether somebody waits for the lock"
            )]
            std::thread::sleep(gap);
        }
    }

    fn is_open(&mut self) -> bool {
        let now = self.clock.now();
        self.session.as_mut().is_some_and(|session| session.is_in_place(&self.path, now))
    }

    fn open(&mut self, suspect: bool, patience: &mut Patience<'_>) -> Result<Session, LimiterError> {
        let place = Place {
            path: &self.path,
            pool: &self.pool,
            new_memory: self.rng.i64(..),
            now: wall(&*self.clock),
            looked_at: self.clock.now(),
        };
        let session = Session::open(&place, suspect, patience)?;
        self.checkpoints.opened();
        let known = *self.memory.get_or_insert(session.pool.memory);
        if known != session.pool.memory && !self.tells_loss {
            tracing::warn!(path = %self.path.display(), "the file of limits was made anew: counting begins anew");
            self.memory = Some(session.pool.memory);
        }
        Ok(session)
    }

    fn book_in(
        &mut self,
        session: &mut Session,
        batch: &[Question],
        writes: bool,
    ) -> Result<Vec<Answer>, LimiterError> {
        let sql = |error| sql_error(&self.path, error);
        session.begin(writes).map_err(sql)?;
        let now = wall(&*self.clock); // after the lock is ours, so that times follow the order of writers
        let kept = std::mem::take(&mut session.kept);
        let (connection, pool) = (&session.connection, session.pool);
        let mut books = Books::open(connection, &self.path, pool.id, now, &mut self.reservations, kept)?;
        let has_forgotten = self.memory != Some(pool.memory);
        let mut answers = Vec::with_capacity(batch.len());
        for question in batch {
            if has_forgotten && matches!(question, Question::Reserve { .. }) {
                return Err(forgotten(&self.path));
            }
            answers.push(question.put(&mut books, now)?);
        }
        if writes {
            books.write_back()?;
            books.prune()?;
        }
        let kept = books.close();
        session.commit().map_err(sql)?;
        session.kept = kept;
        if batch.iter().any(|question| matches!(question, Question::Settle { recalls: true, .. })) {
            self.memory = Some(pool.memory);
        }
        Ok(answers)
    }
}

fn wall(clock: &dyn Clock) -> Millis {
    let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX / 2)
}
