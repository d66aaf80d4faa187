//! Fields of an entry as options of the command, and what they change.

use std::io::{self, BufRead, IsTerminal, Write};
use std::str::FromStr;

use clap::Args;
use keyrot::{KeyMetadata, ProjectId};

use crate::arguments;
use crate::failure::Failure;

/// A value, or `none` to take the field out.
#[derive(Clone, Debug)]
pub(crate) struct OrNone<T>(Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value))).map_err(|_| "allowed: a whole number, or none")
    }
}

/// The optional fields.
#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// The Cloud project whose quota the key uses; keys of one project share it. none: a project of its own
    #[arg(long, value_name = "PROJECT|none")]
    project: Option<String>,
    /// Requests per minute. none: not limited
    #[arg(long, value_name = "N|none", allow_negative_numbers = true)]
    rpm: Option<OrNone<u32>>,
    /// Input tokens per minute. none: not limited
    #[arg(long, value_name = "N|none", allow_negative_numbers = true)]
    tpm: Option<OrNone<u64>>,
    /// Requests per day (midnight to midnight in Los Angeles). none: not limited
    #[arg(long, value_name = "N|none", allow_negative_numbers = true)]
    rpd: Option<OrNone<u32>>,
    /// Lower is used first; default 0
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// Share of the traffic inside a priority; default 1
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Set a tag; may be repeated. An empty value takes the tag out
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::tag)]
    tag: Vec<(String, String)>,
    /// Name of the secret in the store, if the key id does not give it. none: the key id gives it
    #[arg(long, value_name = "NAME|none")]
    secret_name: Option<String>,
}

impl Fields {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { project, rpm, tpm, rpd, priority, weight, tag, secret_name } = self;
        project.is_none()
            && rpm.is_none()
            && tpm.is_none()
            && rpd.is_none()
            && priority.is_none()
            && weight.is_none()
            && tag.is_empty()
            && secret_name.is_none()
    }

    /// The entry with these fields changed and all others as they were.
    pub(crate) fn apply(&self, mut key: KeyMetadata) -> Result<KeyMetadata, Failure> {
        if let Some(project) = &self.project {
            key.project = stated(project).map(ProjectId::from);
        }
        let mut limits = key.limits;
        limits.rpm = self.rpm.as_ref().map_or(limits.rpm, |rpm| rpm.0);
        limits.tpm = self.tpm.as_ref().map_or(limits.tpm, |tpm| tpm.0);
        limits.rpd = self.rpd.as_ref().map_or(limits.rpd, |rpd| rpd.0);
        if limits != key.limits {
            // An entry may state its own model's limits in its list of models, where they win.
            if let Some(listed) = key.models.get_mut(&key.model_name) {
                *listed = limits;
            }
            key.limits = limits;
        }
        key.priority = self.priority.unwrap_or(key.priority);
        key.weight = self.weight.unwrap_or(key.weight);
        for (name, value) in &self.tag {
            match value.as_str() {
                "" => drop(key.tags.remove(name)),
                value => drop(key.tags.insert(name.clone(), value.to_owned())),
            }
        }
        if let Some(name) = &self.secret_name {
            key.secret = stated(name).map(str::to_owned);
        }
        Ok(key)
    }
}

fn stated(text: &str) -> Option<&str> {
    (text != "none").then_some(text)
}

/// Asks on the terminal. Without one there is nobody to ask.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on; --yes removes without asking"));
    }
    let mut stderr = io::stderr().lock();
    let mut answer = String::new();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    asked.and_then(|()| io::stdin().lock().read_line(&mut answer))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
