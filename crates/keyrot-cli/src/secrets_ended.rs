//! How a rotation ended: what is in force, for people and for programs.

use serde::Serialize;

use crate::secrets_target::Target;

/// What the store holds in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InForce {
    /// The key that was there before.
    Old,
    New,
    /// There was none before, and there is none now.
    None,
    /// A key that somebody else has put there meanwhile.
    Other,
    /// The store cannot be read.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Failed(String),
    /// By this signal.
    Stopped(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) in_force: InForce,
    /// How often the provider was asked.
    pub(crate) probes: u32,
}

/// docs/configuration.md describes it.
#[derive(Debug, Serialize)]
pub(crate) struct RotationJson<'a> {
    key_id: &'a str,
    locator: &'a str,
    rotated: bool,
    in_force: InForce,
    probes: u32,
    error: Option<&'a str>,
}

pub(crate) fn ended(end: End, in_force: InForce, probes: u32) -> Ended {
    Ended { end, in_force, probes }
}

impl Ended {
    pub(crate) fn for_people(&self, target: &Target) -> String {
        let id = &target.key.key_id;
        let locator = &target.locator;
        let now = match self.in_force {
            InForce::Old => format!("the old key of {id} is in force: {locator}"),
            InForce::New => format!("the new key of {id} is in force: {locator}"),
            InForce::None => format!("{id} has no key yet: {locator}"),
            InForce::Other => format!("{id} has a key of somebody else's: {locator}"),
            InForce::Unknown => format!("which key of {id} is in force is not known; look at {locator}"),
        };
        match &self.end {
            End::Done => format!("{now}\nthe provider accepts it; delete the old one there now"),
            End::Failed(why) => format!("{why}\n{now}"),
            End::Stopped(_) => format!("stopped: {now}"),
        }
    }

    pub(crate) fn for_programs<'a>(&'a self, target: &'a Target) -> RotationJson<'a> {
        RotationJson {
            key_id: target.key.key_id.as_str(),
            locator: &target.locator,
            rotated: self.end == End::Done,
            in_force: self.in_force,
            probes: self.probes,
            error: match &self.end {
                End::Done => None,
                End::Failed(why) => Some(why),
                End::Stopped(_) => Some("stopped"),
            },
        }
    }
}
