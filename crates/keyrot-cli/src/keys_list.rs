//! `keyrot keys list`, and the JSON of one entry.

use std::collections::BTreeMap;
use std::path::Path;

use keyrot::{KeyMetadata, KeySet, Limits};
use serde::Serialize;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Serialize)]
struct KeysJson {
    file: String,
    keys: Vec<EntryJson>,
}

/// An entry of keys.json with its defaults written out.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson {
    key_id: String,
    model_name: String,
    provider: String,
    project: String,
    active: bool,
    priority: u32,
    weight: u32,
    #[serde(flatten)]
    limits: LimitsJson,
    models: BTreeMap<String, LimitsJson>,
    tags: BTreeMap<String, String>,
    secret: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct LimitsJson {
    rpm: Option<u32>,
    tpm: Option<u64>,
    rpd: Option<u32>,
}

impl From<Limits> for LimitsJson {
    fn from(limits: Limits) -> Self {
        Self { rpm: limits.rpm, tpm: limits.tpm, rpd: limits.rpd }
    }
}

pub(crate) fn entry(key: &KeyMetadata) -> EntryJson {
    EntryJson {
        key_id: key.key_id.to_string(),
        model_name: key.model_name.to_string(),
        provider: key.provider.clone(),
        project: key.quota_project().to_string(),
        active: key.active,
        priority: key.priority,
        weight: key.weight,
        limits: key.limits.into(),
        models: key.models.iter().map(|(model, limits)| (model.to_string(), (*limits).into())).collect(),
        tags: key.tags.clone(),
        secret: key.secret.clone(),
        created_at: key.created_at.clone(),
        updated_at: key.updated_at.clone(),
    }
}

pub(crate) fn run(keys: &KeySet, path: &Path, options: &Options) -> Result<(), Failure> {
    if options.json {
        let file = path.display().to_string();
        return output::print_json(&KeysJson { file, keys: keys.iter().map(entry).collect() });
    }
    output::print(&for_people(keys))
}

fn for_people(keys: &KeySet) -> String {
    let mut table =
        output::table(["key", "model", "project", "active", "priority", "rpm", "tpm", "rpd", "tags"]);
    for key in keys {
        let tags: Vec<String> = key.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let models = key.served_models();
        for (index, (model, limits)) in models.iter().enumerate() {
            let first = |text: String| if index == 0 { text } else { String::new() };
            table.add_row([
                first(key.key_id.to_string()),
                model.to_string(),
                first(key.quota_project().to_string()),
                first(if key.active { "yes" } else { "no" }.to_owned()),
                first(key.priority.to_string()),
                number(limits.rpm),
                number(limits.tpm),
                number(limits.rpd),
                first(tags.join(" ")),
            ]);
        }
    }
    table.to_string()
}

fn number(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string())
}
