//! `keyrot keys`: the entries of keys.json, listed and edited.

use clap::{Args, Subcommand};
use keyrot::KeySet;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::keys_file::KeysFile;
use crate::keys_list;
use crate::keys_options::{Changes, Fields};
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys and where their secrets are looked for, never the secrets
    List,
    /// Add a key; its secret goes to the secret store, not here
    Add {
        /// Unique name of the key; names its secret as well
        key_id: String,
        /// The model that it serves
        #[arg(long)]
        model: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change fields of a key
    Set {
        /// The key to change
        key_id: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// Use a key again
    Enable {
        /// The key to use
        key_id: String,
    },
    /// Keep a key in the file, but do not use it
    Disable {
        /// The key to rest
        key_id: String,
    },
    /// Take a key out of the file
    Remove {
        /// The key to take out
        key_id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Works on the file whether rotation is on or off: who turns it on prepares the file first.
pub(crate) async fn run(arguments: KeysArguments, options: &Options) -> Result<(), Failure> {
    let file = KeysFile::new(session::settings(options)?, options.json);
    match arguments.command {
        KeysCommand::List => {
            let keys = KeySet::load(file.path())?;
            keys_list::run(&keys, &file, options.json)
        }
        KeysCommand::Add { key_id, model, fields } => file.add(&key_id, &model, &fields).await,
        KeysCommand::Set { key_id, changes } => {
            if changes == Changes::default() {
                return Err(Failure::usage("nothing to set; keyrot keys set --help lists the fields"));
            }
            file.change(&key_id, |key| changes.apply(key))
        }
        KeysCommand::Enable { key_id } => file.change(&key_id, |key| key.active = true),
        KeysCommand::Disable { key_id } => file.change(&key_id, |key| key.active = false),
        KeysCommand::Remove { key_id, yes } => file.remove(&key_id, yes),
    }
}
