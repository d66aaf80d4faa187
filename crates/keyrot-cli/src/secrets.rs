//! `keyrot secrets`: writes API keys into the secret store. A value is never an argument and never printed.

use std::cell::Cell;
use std::time::Duration;

use clap::{Args, Subcommand};
use keyrot::secrecy::{ExposeSecret, SecretString};
use keyrot::{SecretErrorKind, SystemClock};
use serde::Serialize;

use crate::arguments::{Options, duration};
use crate::failure::Failure;
use crate::output;
use crate::progress::ProgressLine;
use crate::secrets_ended::End;
use crate::secrets_probe::Provider;
use crate::secrets_rotate::Rotation;
use crate::secrets_target::Target;
use crate::secrets_value;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct SecretsArguments {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// Write the API key of an entry into the secret store; it is read from standard input or asked for
    Put {
        /// The entry of keys.json whose secret it is
        key_id: String,
    },
    /// Replace the API key of an entry by a new one, which the provider is asked about before and after
    Rotate {
        /// The entry of keys.json whose secret it is
        key_id: String,
        /// How long the provider may refuse the new key, as it does at first with fresh ones
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
        patience: Duration,
    },
}

/// docs/configuration.md describes it.
#[derive(Debug, Serialize)]
struct PutJson<'a> {
    key_id: &'a str,
    locator: &'a str,
    /// False: the store took it, and does not let us read it.
    verified: bool,
}

/// Works on the store of keys.json whether rotation is on or off: who turns it on prepares the secrets first.
pub(crate) async fn run(arguments: SecretsArguments, options: &Options) -> Result<(), Failure> {
    let settings = session::settings(options)?;
    match arguments.command {
        SecretsCommand::Put { key_id } => {
            let target = Target::find(settings, &key_id)?;
            let secret = secrets_value::read(&key_id).await?;
            put(&target, &secret, options.json).await
        }
        SecretsCommand::Rotate { key_id, patience } => {
            let target = Target::find(settings, &key_id)?;
            let provider = Provider::of(&target)?;
            let new = secrets_value::read(&key_id).await?;
            rotate(&target, provider, new, patience, options.json).await
        }
    }
}

async fn put(target: &Target, secret: &SecretString, json: bool) -> Result<(), Failure> {
    let Target { store, key, locator, .. } = target;
    let written = store.put(key, secret).await;
    written.map_err(|error| match error.kind() {
        SecretErrorKind::TimedOut => Failure::failed(format!(
            "whether the secret was written is not known; look, and put it again: {error}"
        )),
        _ => Failure::failed(format!("the secret was not written: {error}")),
    })?;
    let verified = match store.fetch(key).await {
        Ok(read) if read.expose_secret() == secret.expose_secret() => true,
        Ok(_) => {
            return Err(Failure::failed(format!(
                "the secret was written, but {locator} holds another one now: somebody else writes it too"
            )));
        }
        Err(error) => {
            output::warning(&format!("the secret was written, but cannot be read back: {error}"));
            false
        }
    };
    if json {
        return output::print_json(&PutJson { key_id: key.key_id.as_str(), locator, verified });
    }
    output::print(&format!("the secret of {} was written: {locator}", key.key_id))
}

async fn rotate(
    target: &Target,
    provider: Provider,
    new: SecretString,
    patience: Duration,
    json: bool,
) -> Result<(), Failure> {
    let line = ProgressLine::saying("asking the provider about the new key");
    let unseen = Cell::new(!output::is_watched());
    let tell = |text: &str| match unseen.take() {
        true => output::note(text), // once: a log is no place for what moves
        false => line.say(text),
    };
    let rotation = Rotation {
        target,
        new,
        patience,
        clock: &SystemClock,
        ask: async |secret: &SecretString| provider.ask(secret).await,
        tell,
    };
    let ended = rotation.run(session::stop_signal()).await;
    drop(line);
    if json {
        output::print_json(&ended.for_programs(target))?;
    }
    match &ended.end {
        End::Done if json => Ok(()),
        End::Done => output::print(&ended.for_people(target)),
        End::Failed(_) => Err(Failure::failed(ended.for_people(target))),
        End::Stopped(signal) => Err(Failure::stopped(*signal).saying(ended.for_people(target))),
    }
}
