//! `keyrot check`: mistakes in the configuration, the keys and their secrets, found before a call is lost to them.

use clap::Args;
use keyrot::{Notice, Opened};

use crate::arguments::Options;
use crate::check_keys;
use crate::check_probe;
use crate::check_report::{KeyReport, Report};
use crate::failure::Failure;
use crate::output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Also ask the provider with each key (models.list: costs no quota)
    #[arg(long)]
    probe: bool,
}

pub(crate) async fn run(arguments: CheckArguments, options: &Options) -> Result<(), Failure> {
    let report = match session::settings(options) {
        Err(error) => Report::of_problems(&error),
        Ok(settings) => match settings.open_for_inspection().await {
            Err(error) => Report::of_problems(&error),
            Ok(opened) => {
                session::with_pool(opened, async |opened| Ok(look(opened, arguments.probe).await)).await?
            }
        },
    };
    let report = report.finished();
    if options.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.for_people())?;
    }
    match report.exit_code() {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

async fn look(opened: &Opened, probe: bool) -> Report {
    let keys = opened.pool.keys();
    let mut report = Report::new(&opened.settings);
    for notice in &opened.notices {
        match notice {
            Notice::Info(text) => report.info.push(text.clone()),
            Notice::Warning(text) => report.warnings.push(text.clone()),
            _ => {}
        }
    }
    if keys.iter().all(|key| !key.active) {
        report.problems.push(format!("{}: no key is active", opened.settings.keys_path().display()));
    }
    let secrets = check_keys::read_secrets(opened, &keys).await;
    for key in &keys {
        report.keys.push(KeyReport::new(key, opened.secrets.locator(key), secrets.get(&key.key_id)));
        if let Some(Err(error)) = secrets.get(&key.key_id) {
            report.problems.push(format!("key {} has no secret: {error}", key.key_id));
        }
        if key.provider != "gemini" {
            report.warnings.push(format!(
                "key {} is never used: its provider is {:?}, and only \"gemini\" is supported",
                key.key_id, key.provider
            ));
        }
    }
    report.problems.extend(check_keys::duplicates(&keys, &secrets));
    report.warnings.extend(check_keys::siblings(&keys));
    if probe {
        match opened.settings.gemini() {
            Ok(gemini) => check_probe::probe(&gemini, &secrets, &mut report).await,
            Err(error) => report.problems.extend_from_slice(error.problems()),
        }
    }
    report
}
