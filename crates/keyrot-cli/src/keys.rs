//! `keyrot keys`: the entries of keys.json.

use std::path::Path;

use clap::{Args, Subcommand};
use keyrot::{KeyId, KeyMetadata, KeySet};
use serde::Serialize;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::keys_edit::{self, Fields};
use crate::keys_list::{self, EntryJson};
use crate::output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys, never their secrets
    List,
    /// Add a key; its secret goes to the secret store, not here
    Add {
        /// Unique name of the key; also names its secret
        id: String,
        /// The model that it serves
        #[arg(long, value_name = "MODEL")]
        model: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change fields of a key
    Set {
        /// Which key
        id: String,
        /// The model that it serves
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Use a key again
    Enable {
        /// Which keys
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Keep a key, but do not use it
    Disable {
        /// Which keys
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take a key out of the file
    Remove {
        /// Which keys
        #[arg(required = true)]
        ids: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(arguments: KeysArguments, options: &Options) -> Result<(), Failure> {
    let settings = session::settings(options)?;
    let path = settings.keys_path();
    match arguments.command {
        KeysCommand::List => keys_list::run(&KeySet::load(path)?, path, options),
        KeysCommand::Add { id, model, fields } => add(path, &id, &model, fields, options),
        KeysCommand::Set { id, model, fields } => {
            if model.is_none() && fields.is_empty() {
                return Err(Failure::usage("nothing to set; keyrot keys set --help lists the fields"));
            }
            change(path, &[id], options, |mut key| {
                if let Some(model) = &model {
                    key.model_name = model.as_str().into();
                }
                fields.apply(key)
            })
        }
        KeysCommand::Enable { ids } => change(path, &ids, options, |key| with_active(key, true)),
        KeysCommand::Disable { ids } => change(path, &ids, options, |key| with_active(key, false)),
        KeysCommand::Remove { ids, yes } => remove(path, &ids, yes, options),
    }
}

fn with_active(mut key: KeyMetadata, active: bool) -> Result<KeyMetadata, Failure> {
    key.active = active;
    Ok(key)
}

fn add(path: &Path, id: &str, model: &str, fields: Fields, options: &Options) -> Result<(), Failure> {
    let id = KeyId::parse(id)?;
    // Any other trouble with the file is the save's to tell.
    let mut keys = if path.exists() { KeySet::load(path)? } else { KeySet::default() };
    if keys.get(id.as_str()).is_some() {
        return Err(Failure::usage(format!(
            "{} has a key {id} already; keyrot keys set {id} changes it",
            path.display()
        )));
    }
    let key = fields.apply(KeyMetadata::new(id.clone(), model))?;
    keys.upsert(key)?;
    save(&mut keys, path)?;
    report(&keys, path, &[id], "added", options)
}

fn change(
    path: &Path,
    ids: &[String],
    options: &Options,
    edit: impl Fn(KeyMetadata) -> Result<KeyMetadata, Failure>,
) -> Result<(), Failure> {
    let mut keys = KeySet::load(path)?;
    let ids = known(&keys, ids, path)?;
    for key in ids.iter().filter_map(|id| keys.get(id.as_str()).cloned()).collect::<Vec<_>>() {
        keys.upsert(edit(key)?)?;
    }
    save(&mut keys, path)?;
    report(&keys, path, &ids, "changed", options)
}

fn remove(path: &Path, ids: &[String], yes: bool, options: &Options) -> Result<(), Failure> {
    let mut keys = KeySet::load(path)?;
    let ids = known(&keys, ids, path)?;
    if !yes && !keys_edit::confirm(&format!("Remove {} from {}?", listed(&ids), path.display()))? {
        return Err(Failure::failed("nothing was removed"));
    }
    for id in &ids {
        keys.remove(id);
    }
    save(&mut keys, path)?;
    report(&keys, path, &ids, "removed", options)
}

/// The ids, or which of them the file does not have.
fn known(keys: &KeySet, ids: &[String], path: &Path) -> Result<Vec<KeyId>, Failure> {
    let unknown: Vec<&str> = ids.iter().map(String::as_str).filter(|id| keys.get(id).is_none()).collect();
    if !unknown.is_empty() {
        let there: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} has no key {}; it has {}",
            path.display(),
            unknown.join(", "),
            if there.is_empty() { "none".to_owned() } else { there.join(", ") }
        )));
    }
    let found = ids.iter().filter_map(|id| keys.get(id).map(|key| key.key_id.clone()));
    Ok(found.collect())
}

fn save(keys: &mut KeySet, path: &Path) -> Result<(), Failure> {
    #[expect(clippy::disallowed_methods, reason = "the dates in the file are of now")]
    let now = std::time::SystemTime::now();
    Ok(keys.save(path, now)?)
}

/// What was done, with the entries as they are now.
#[derive(Debug, Serialize)]
struct Done {
    done: &'static str,
    key_ids: Vec<String>,
    keys: Vec<EntryJson>,
}

fn report(
    keys: &KeySet,
    path: &Path,
    ids: &[KeyId],
    done: &'static str,
    options: &Options,
) -> Result<(), Failure> {
    output::note(&format!("{done} in {}: {}", path.display(), listed(ids)));
    if !options.json {
        return Ok(());
    }
    let entries = ids.iter().filter_map(|id| keys.get(id.as_str())).map(keys_list::entry).collect();
    let key_ids = ids.iter().map(ToString::to_string).collect();
    output::print_json(&Done { done, key_ids, keys: entries })
}

fn listed(ids: &[KeyId]) -> String {
    ids.iter().map(KeyId::as_str).collect::<Vec<_>>().join(", ")
}
