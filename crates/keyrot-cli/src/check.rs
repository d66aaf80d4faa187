//! `keyrot check`: mistakes in the configuration, the keys and their secrets, found before a call is lost to them.

use std::sync::Arc;

use clap::Args;
use keyrot::{Clock, KeySet, SecretStore, Settings, SystemClock};

use crate::arguments::Options;
use crate::check_age;
use crate::check_keys;
use crate::check_probe;
use crate::check_report::{Finding, Level, Report};
use crate::check_secrets::{self, Secrets};
use crate::check_settings;
use crate::failure::Failure;
use crate::output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Also ask the provider with each key which models it may use
    #[arg(long)]
    probe: bool,
}

/// Exit code 0: no error (warnings are none); 2: something has to be put right; 1: the provider did not accept a key.
pub(crate) async fn run(arguments: CheckArguments, options: &Options) -> Result<(), Failure> {
    let mut report = Report::default();
    match session::settings(options) {
        Ok(settings) => look(&settings, arguments.probe, &mut report).await,
        Err(error) => report.add(Finding::of_problems("configuration", &error)),
    }
    if options.json {
        output::print_json(&report.for_programs())?;
    } else {
        output::print(&report.for_people())?;
    }
    match report.exit_code() {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

async fn look(settings: &Settings, probe: bool, report: &mut Report) {
    report.add(check_settings::look(settings).await);
    let Some(keys) = read_keys(settings, report) else { return };
    let opened = match settings.rotates() {
        true => {
            settings.secret_writer().map(|writer| (Arc::clone(&writer) as Arc<dyn SecretStore>, Some(writer)))
        }
        false => settings.secrets().map(|store| (store, None)),
    };
    let (store, writer) = match opened {
        Ok(opened) => opened,
        Err(error) => return report.add(Finding::of_problems("SECRET_STORE_TYPE", &error)),
    };
    if let Err(error) = store.check(&keys) {
        report.add(Finding::of_problems(&settings.keys_path().display().to_string(), &error));
    }
    let secrets = Secrets::read(&keys, &*store).await;
    report.add(secrets.findings());
    report.add(secrets.duplicates());
    if let Some(writer) = writer {
        report.add(check_keys::siblings(&keys));
        report.add(check_secrets::unused_variables(settings, &keys, &*store));
        report.add(check_secrets::fixed(&secrets, &*writer));
        report.add(check_age::look(&secrets, &*store, settings.secret_store(), SystemClock.wall()).await);
    }
    if probe {
        match settings.gemini() {
            Ok(gemini) => check_probe::probe(&gemini, &secrets, report).await,
            Err(error) => report.add(Finding::of_problems("GOOGLE_GEMINI_BASE_URL", &error)),
        }
    }
}

/// The entries; `None` if they cannot be read, which is reported then.
fn read_keys(settings: &Settings, report: &mut Report) -> Option<KeySet> {
    let path = settings.keys_path().display().to_string();
    if !settings.rotates() {
        return settings
            .key_set()
            .inspect_err(|error| report.add(Finding::of_problems("GEMINI_API_KEY", error)))
            .ok();
    }
    let keys = KeySet::load(settings.keys_path())
        .inspect_err(|error| report.add(Finding::of_problems(&path, error)))
        .ok()?;
    let active = keys.iter().filter(|key| key.active).count();
    let count = format!("{} keys, {active} of them active", keys.len());
    report.add([Finding::new(Level::Ok, &path, count)]);
    report.add(check_keys::entries(&keys, &path));
    Some(keys)
}
