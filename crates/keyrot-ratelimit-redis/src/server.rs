//! The records of a pool in Redis: several questions or reports in one call of a script.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use keyrot_core::{
    Candidate, Clock, CounterRecord, KeyId, LimiterError, LimiterErrorKind, Millis, QuotaRecord, Reserved,
    Scope, ScopeRecord, Settled, Snapshot,
};
use redis::aio::ConnectionLike;
use redis::{RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use crate::address::RedisAddress;
use crate::error;
use crate::link::{Connection, Link, breaks};
use crate::midnights::Midnights;
use crate::names::Names;
use crate::reply::bytes_of;
use crate::reserve_call::{self, Call};
use crate::script::{Arguments, PROCESSES, RESERVE, SETTLE, SNAPSHOT, Script};
use crate::settle_call::{self, Report};
use crate::wire::Writer;

/// Records read in one call of a snapshot.
const READ_AT_ONCE: usize = 500;

pub(crate) struct Server {
    pub(crate) address: RedisAddress,
    pub(crate) link: Link,
    pub(crate) names: Names,
    pub(crate) timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    /// The scripts take the time from `clock`, not from the server.
    pub(crate) time_is_given: bool,
    /// A caller wants to know when the server has lost its memory.
    pub(crate) tells_loss: bool,
    midnights: Mutex<Midnights>,
    /// How far the server's clock is ahead of ours, in ms.
    ahead: AtomicI64,
    /// The server's memory, by when it began; 0 until it was asked.
    incarnation: AtomicU64,
    reservations: AtomicU64,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(
        address: RedisAddress,
        link: Link,
        names: Names,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        time_is_given: bool,
        tells_loss: bool,
    ) -> Self {
        Self {
            address,
            link,
            names,
            timeout,
            clock,
            time_is_given,
            tells_loss,
            midnights: Mutex::default(),
            ahead: AtomicI64::new(0),
            incarnation: AtomicU64::new(0),
            reservations: AtomicU64::new(0),
        }
    }

    /// Asks for quota. A call that fails may have happened all the same: it is not repeated.
    pub(crate) async fn reserve(&self, calls: &[Call]) -> Result<Vec<Reserved>, LimiterError> {
        self.reserve_until(calls, self.until()).await
    }

    async fn reserve_until(&self, calls: &[Call], until: Instant) -> Result<Vec<Reserved>, LimiterError> {
        let mut order = Vec::new();
        let arguments = |clock| {
            let request = reserve_call::request(calls, &self.names, clock);
            order = request.order;
            request.arguments
        };
        let reply = self.run(&RESERVE, until, arguments).await?;
        let answer = reserve_call::answer(reply, calls, &order, &self.reservations)
            .ok_or_else(|| error::not_understood(&self.address))?;
        self.note_time(answer.now);
        if answer.forgot {
            return self.forgot(answer.incarnation, calls, until).await;
        }
        self.incarnation.store(answer.incarnation, Ordering::Release);
        Ok(answer.replies)
    }

    async fn forgot(
        &self,
        incarnation: u64,
        calls: &[Call],
        until: Instant,
    ) -> Result<Vec<Reserved>, LimiterError> {
        if self.tells_loss {
            return Err(LimiterError::new(
                LimiterErrorKind::Forgot,
                format!("Redis at {} has lost its memory", self.address),
            ));
        }
        tracing::warn!(address = %self.address, "Redis has lost its memory: counts begin anew");
        self.incarnation.store(incarnation, Ordering::Release);
        Box::pin(self.reserve_until(calls, until)).await
    }

    /// Settles. Batches that were settled already change nothing.
    pub(crate) async fn settle(&self, reports: &[Report]) -> Result<Vec<Settled>, LimiterError> {
        self.settle_in(reports).await.map(|(settled, _)| settled)
    }

    /// As [`settle`](Self::settle), and takes the memory that the server has now for the known one.
    pub(crate) async fn recall(&self, report: Report) -> Result<Settled, LimiterError> {
        let (settled, incarnation) = self.settle_in(&[report]).await?;
        self.incarnation.store(incarnation, Ordering::Release);
        settled.into_iter().next().ok_or_else(|| error::not_understood(&self.address))
    }

    async fn settle_in(&self, reports: &[Report]) -> Result<(Vec<Settled>, u64), LimiterError> {
        let mut request = None;
        let reply = self
            .run(&SETTLE, self.until(), |clock| {
                let settle_call::Request { arguments, .. } =
                    request.insert(settle_call::request(reports, &self.names, clock));
                std::mem::take(arguments)
            })
            .await?;
        let answer = request.and_then(|request| settle_call::answer(reply, reports, &request));
        let answer = answer.ok_or_else(|| error::not_understood(&self.address))?;
        self.note_time(answer.now);
        Ok((answer.replies, answer.incarnation))
    }

    pub(crate) async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        let mut snapshot = Snapshot::default();
        let mut parts = groups.chunks(READ_AT_ONCE);
        let mut groups = parts.next().unwrap_or_default();
        let (mut scopes, mut keys) = (scopes, keys);
        loop {
            self.read(groups, scopes, keys, &mut snapshot).await?;
            (scopes, keys) = (&[], &[]);
            match parts.next() {
                Some(next) => groups = next,
                None => return Ok(snapshot),
            }
        }
    }

    async fn read(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
        into: &mut Snapshot,
    ) -> Result<(), LimiterError> {
        let reply = self
            .run(&SNAPSHOT, self.until(), |_| {
                let given = if self.time_is_given { self.our_time() } else { 0 };
                let mut values = vec![given.to_string().into_bytes(), scopes.len().to_string().into_bytes()];
                values.extend(scopes.iter().map(|scope| scope.name().into_bytes()));
                values.extend(keys.iter().map(|key| key.as_str().as_bytes().to_vec()));
                let quota = groups.iter().map(|candidate| self.names.quota(&candidate.group));
                let keys = [self.names.blocks(), self.names.counters()].into_iter().chain(quota).collect();
                Arguments { keys, values }
            })
            .await?;
        let unclear = || error::not_understood(&self.address);
        let Value::Array(parts) = reply else { return Err(unclear()) };
        let mut parts = parts.into_iter().map(bytes_of);
        let mut next = || parts.next().flatten().ok_or_else(unclear);
        into.now = String::from_utf8(next()?).ok().and_then(|now| now.parse().ok()).ok_or_else(unclear)?;
        self.note_time(into.now);
        for Candidate { limits, .. } in groups {
            let record = or_default(&next()?, QuotaRecord::from_bytes)?;
            into.groups.push(record.usage(into.now, *limits));
        }
        for _ in scopes {
            into.scopes.push(or_default(&next()?, ScopeRecord::from_bytes)?);
        }
        for _ in keys {
            into.counters.push(or_default(&next()?, CounterRecord::from_bytes)?);
        }
        Ok(())
    }

    /// Says that this process lives; how many do.
    pub(crate) async fn processes(&self, me: u64) -> Result<u32, LimiterError> {
        let given = if self.time_is_given { self.our_time() } else { 0 };
        let values = vec![given.to_string().into_bytes(), format!("{me:016x}").into_bytes()];
        let arguments = Arguments { keys: vec![self.names.processes()], values };
        let sent = async |connection: &mut Connection| PROCESSES.run(connection, &arguments).await;
        match self.send(self.until(), sent).await?.map_err(|error| self.error(error))? {
            Value::Int(count) => Ok(u32::try_from(count).unwrap_or(1)),
            _ => Err(error::not_understood(&self.address)),
        }
    }

    /// A command that is none of the scripts.
    pub(crate) async fn command(&self, command: &redis::Cmd) -> Result<Value, LimiterError> {
        let sent = async |connection: &mut Connection| {
            connection.req_packed_command(command).await.and_then(Value::extract_error)
        };
        self.send(self.until(), sent).await?.map_err(|error| self.error(error))
    }

    fn error(&self, error: redis::RedisError) -> LimiterError {
        error::limiter_error(&self.address, error)
    }

    /// Runs a script with arguments that are made for the time; once more if the server's clock is
    /// days away from ours, which it says before it does anything.
    async fn run(
        &self,
        script: &Script,
        until: Instant,
        mut arguments: impl FnMut(Vec<u8>) -> Arguments,
    ) -> Result<Value, LimiterError> {
        for last in [false, true] {
            let arguments = arguments(self.clock_argument());
            let sent = async |connection: &mut Connection| script.run(connection, &arguments).await;
            match self.send(until, sent).await? {
                Ok(reply) => return Ok(reply),
                Err(error) => match error::wrong_midnights(&error) {
                    Some(now) if !last => self.note_time(now),
                    _ => return Err(error::limiter_error(&self.address, error)),
                },
            }
        }
        Err(error::not_understood(&self.address))
    }

    async fn send(
        &self,
        until: Instant,
        send: impl AsyncFnOnce(&mut Connection) -> RedisResult<Value>,
    ) -> Result<RedisResult<Value>, LimiterError> {
        let mut mark = None;
        let sent = async {
            let mut borrowed = self.link.connection().await?;
            mark = Some(borrowed.mark());
            send(&mut borrowed.connection).await
        };
        let reply = timeout_at(until, sent).await;
        let broken = match &reply {
            Ok(Ok(_)) => false,
            Ok(Err(error)) => breaks(error),
            Err(_) => true,
        };
        if let Some(mark) = mark.filter(|_| broken) {
            self.link.broken(&mark);
        }
        match reply {
            Ok(Err(error)) if error.is_timeout() => Err(self.too_slow()),
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// When a call that begins now must have ended.
    fn until(&self) -> Instant {
        Instant::now() + self.timeout
    }

    pub(crate) fn too_slow(&self) -> LimiterError {
        error::too_slow(&self.address, self.timeout)
    }

    fn clock_argument(&self) -> Vec<u8> {
        let ours = self.our_time();
        let mut to = Writer::default();
        to.u48(if self.time_is_given { ours } else { 0 });
        to.u48(self.incarnation.load(Ordering::Acquire));
        let theirs = if self.time_is_given {
            ours
        } else {
            ours.saturating_add_signed(self.ahead.load(Ordering::Relaxed))
        };
        let mut midnights = self.midnights.lock().unwrap_or_else(PoisonError::into_inner);
        to.0.extend(midnights.around(theirs));
        to.0
    }

    fn our_time(&self) -> Millis {
        let wall = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX / 2)
    }

    fn note_time(&self, theirs: Millis) {
        let ahead = i64::try_from(theirs).unwrap_or(0) - i64::try_from(self.our_time()).unwrap_or(0);
        self.ahead.store(ahead, Ordering::Relaxed);
    }
}

fn or_default<T: Default>(
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, LimiterError>,
) -> Result<T, LimiterError> {
    if bytes.is_empty() { Ok(T::default()) } else { read(bytes) }
}
