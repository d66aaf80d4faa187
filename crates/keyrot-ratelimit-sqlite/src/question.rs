//! What callers ask of the writer, and the answers they wait for.

use keyrot_core::books::{self, Home};
use keyrot_core::{
    Ask, Candidate, Disposition, KeyId, LimiterError, Millis, Reservation, Reserved, Scope, SettleBatch,
    Settled, Snapshot,
};
use tokio::sync::oneshot;

use crate::books::Books;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, LimiterError>>;

pub(crate) enum Question {
    Reserve {
        candidates: Vec<Candidate>,
        asks: Vec<Ask>,
        seen: u64,
        reply: Reply<Reserved>,
    },
    /// `recalls`: the caller tells what it remembers, because the file has lost its memory.
    Settle {
        batch: SettleBatch,
        recalls: bool,
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
    Processes {
        me: u64,
        reply: Reply<u32>,
    },
    /// Nobody has waited for the grant of these.
    GiveBack(Vec<Reservation>),
}

pub(crate) enum Answer {
    Reserved(Reserved),
    Settled(Settled),
    Snapshot(Snapshot),
    Processes(u32),
    Done,
}

impl Question {
    /// False if it only looks: then it waits for no other writer.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Reserve { candidates, asks, .. } => !candidates.is_empty() && !asks.is_empty(),
            Self::Snapshot { .. } => false,
            Self::Settle { .. } | Self::Reset { .. } | Self::Processes { .. } | Self::GiveBack(_) => true,
        }
    }

    /// True if it is booked in no time, whatever the records hold.
    pub(crate) fn is_short(&self) -> bool {
        const FEW: usize = 16;
        match self {
            Self::Reserve { candidates, asks, .. } => candidates.len() * asks.len() <= FEW,
            Self::Settle { batch, recalls: false, .. } => {
                batch.settlements.len() + batch.verdicts.len() + batch.tallies.len() <= FEW
            }
            _ => false,
        }
    }

    /// True if whoever asked has gone, and nothing is lost if he gets no answer.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Reserve { reply, .. } => reply.is_closed(),
            Self::Snapshot { reply, .. } => reply.is_closed(),
            Self::Processes { reply, .. } => reply.is_closed(),
            Self::Settle { .. } | Self::Reset { .. } | Self::GiveBack(_) => false,
        }
    }

    pub(crate) fn put(&self, home: &mut Books<'_>, now: Millis) -> Result<Answer, LimiterError> {
        match self {
            Self::Reserve { candidates, asks, seen, .. } => {
                books::reserve(home, now, candidates, asks, *seen).map(Answer::Reserved)
            }
            Self::Settle { batch, .. } => books::settle(home, now, batch).map(Answer::Settled),
            Self::Snapshot { groups, scopes, keys, .. } => {
                books::snapshot(home, now, groups, scopes, keys).map(Answer::Snapshot)
            }
            Self::Reset { scope, .. } => books::reset(home, now, scope).map(|()| Answer::Done),
            Self::Processes { me, .. } => home.processes(*me).map(Answer::Processes),
            Self::GiveBack(reservations) => {
                for taken in reservations {
                    home.known_quota(&taken.group, |record| record.settle(now, taken, Disposition::Release))?;
                }
                Ok(Answer::Done)
            }
        }
    }

    /// Tells whoever asked; returns what was taken for somebody who has gone.
    pub(crate) fn tell(self, answer: Result<Answer, LimiterError>) -> Vec<Reservation> {
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
            (Self::Processes { reply, .. }, Ok(Answer::Processes(count))) => drop(reply.send(Ok(count))),
            (Self::Processes { reply, .. }, Err(error)) => drop(reply.send(Err(error))),
            (Self::Reset { reply, .. }, answer) => drop(reply.send(answer.map(drop))),
            (_, _) => {}
        }
        Vec::new()
    }
}
