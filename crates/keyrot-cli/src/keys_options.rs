//! Fields of an entry as options of the command line, and what they change.

use clap::Args;
use keyrot::{KeyMetadata, ModelName, ProjectId};

use crate::arguments;

/// What `add` and `set` have in common. Negative numbers are let through to be refused as values, by name.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Fields {
    /// The Cloud project whose quota the key uses; keys of one project share it [default: one of its own]
    #[arg(long)]
    project: Option<String>,
    /// Requests per minute [default: not limited]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rpm: Option<u32>,
    /// Input tokens per minute [default: not limited]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    tpm: Option<u64>,
    /// Requests per day, which ends at midnight in Los Angeles [default: not limited]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rpd: Option<u32>,
    /// Lower is used first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<u32>,
    /// Share of the traffic inside a priority; 0 is never used [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    weight: Option<u32>,
    /// Set a tag; may be repeated
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = arguments::tag)]
    tags: Vec<(String, String)>,
    /// Name of the secret in the secret store, never the secret itself [default: made from the key id]
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Do not use the key
    #[arg(long)]
    inactive: bool,
}

/// What `set` can do: the fields, and taking them away.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Changes {
    /// The model that it serves
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// A project of its own
    #[arg(long, conflicts_with = "project")]
    no_project: bool,
    /// No limit on requests per minute
    #[arg(long, conflicts_with = "rpm")]
    no_rpm: bool,
    /// No limit on input tokens per minute
    #[arg(long, conflicts_with = "tpm")]
    no_tpm: bool,
    /// No limit on requests per day
    #[arg(long, conflicts_with = "rpd")]
    no_rpd: bool,
    /// Take a tag away; may be repeated
    #[arg(long = "untag", value_name = "NAME")]
    untags: Vec<String>,
    /// Look for the secret under the name that the key id gives
    #[arg(long, conflicts_with = "secret")]
    no_secret: bool,
}

impl Fields {
    pub(crate) fn apply(&self, key: &mut KeyMetadata) {
        if let Some(project) = &self.project {
            key.project = Some(ProjectId::from(project.as_str()));
        }
        if let Some(secret) = &self.secret {
            key.secret = Some(secret.clone());
        }
        // An entry may state the quota of its own model in its list of models, where it wins.
        let limits = key.models.get_mut(&key.model_name).unwrap_or(&mut key.limits);
        limits.rpm = self.rpm.or(limits.rpm);
        limits.tpm = self.tpm.or(limits.tpm);
        limits.rpd = self.rpd.or(limits.rpd);
        key.priority = self.priority.unwrap_or(key.priority);
        key.weight = self.weight.unwrap_or(key.weight);
        key.tags.extend(self.tags.iter().cloned());
        key.active &= !self.inactive;
    }
}

impl Changes {
    pub(crate) fn apply(&self, key: &mut KeyMetadata) {
        if let Some(model) = &self.model {
            key.model_name = ModelName::from(model.as_str());
        }
        if self.no_project {
            key.project = None;
        }
        if self.no_secret {
            key.secret = None;
        }
        let limits = key.models.get_mut(&key.model_name).unwrap_or(&mut key.limits);
        limits.rpm = limits.rpm.filter(|_| !self.no_rpm);
        limits.tpm = limits.tpm.filter(|_| !self.no_tpm);
        limits.rpd = limits.rpd.filter(|_| !self.no_rpd);
        for name in &self.untags {
            key.tags.remove(name);
        }
        self.fields.apply(key);
    }
}

#[cfg(test)]
mod tests {
    use keyrot::{KeyId, Limits};

    use super::*;

    #[test]
    fn the_quota_of_the_entrys_own_model_is_set_where_it_counts() {
        let mut key = KeyMetadata::new(KeyId::parse("k").unwrap(), "m");
        key.models.insert("m".into(), Limits::new(Some(5), Some(100), None));
        key.models.insert("other".into(), Limits::new(Some(7), None, None));
        let changes = Changes {
            fields: Fields { rpm: Some(9), ..Fields::default() },
            no_tpm: true,
            ..Changes::default()
        };
        changes.apply(&mut key);
        let served = key.served_models();
        assert_eq!(served[0], ("m".into(), Limits::new(Some(9), None, None)));
        assert_eq!(served[1], ("other".into(), Limits::new(Some(7), None, None)));
        assert_eq!(key.limits, Limits::default());
    }
}
