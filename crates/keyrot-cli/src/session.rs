//! From the command line to a pool, and its orderly end whatever ends the work.

use keyrot::{ConfigError, Environment, Notice, Opened, Settings};
use tracing_subscriber::EnvFilter;

use crate::arguments::{Options, Rotation};
use crate::failure::Failure;
use crate::output;
use crate::state_file;

/// What is logged when `RUST_LOG` says nothing: keys without a secret are told by the command itself.
const LOGGED: &str = "warn,keyrot_core=error,rustify=off,vaultrs=off";

/// The settings of the environment under those of the command line. Logging follows the environment from here on.
pub(crate) fn settings(options: &Options) -> Result<Settings, ConfigError> {
    let environment = Environment::read(options.env_file.as_deref())?;
    start_logging(&environment)?;
    let rotation = options.rotation.map(|rotation| matches!(rotation, Rotation::On));
    let state = state_file::of_user(environment.vars());
    let settings = Settings::from_environment(environment)?.rotation(rotation);
    let settings = match state {
        Some(path) => settings.default_state(path),
        None => settings,
    };
    Ok(match &options.keys_file {
        Some(path) => settings.keys_file(path),
        None => settings,
    })
}

fn start_logging(environment: &Environment) -> Result<(), ConfigError> {
    if environment.vars().text("NO_COLOR").is_some() {
        anstream::ColorChoice::Never.write_global();
    }
    let wanted = environment.vars().text("RUST_LOG");
    let filter = EnvFilter::try_new(wanted.unwrap_or(LOGGED)).map_err(|_| {
        ConfigError::bad_value(
            "RUST_LOG",
            wanted.unwrap_or_default(),
            "error, warn, info, debug or trace, also for single crates: warn,keyrot_core=debug",
        )
    })?;
    let colour = output::is_watched() && environment.vars().text("NO_COLOR").is_none();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let _ = subscriber.try_init(); // fails only if it was started before
    Ok(())
}

/// So many warnings about a pool are told one by one: most are of keys, of which there may be thousands.
const WARNINGS: usize = 20;

/// Tells what there is to tell about a pool, once.
pub(crate) fn tell_notices(opened: &Opened) {
    let mut warnings = 0;
    for notice in &opened.notices {
        match notice {
            Notice::Info(text) => output::info(text),
            Notice::Warning(text) => {
                warnings += 1;
                if warnings <= WARNINGS {
                    output::warning(text);
                }
            }
            _ => {}
        }
    }
    if warnings > WARNINGS {
        output::warning(&format!("{} more like these; keyrot check tells all of them", warnings - WARNINGS));
    }
}

/// Works with a pool until the work is done or a signal comes, then closes the pool.
pub(crate) async fn with_pool<T>(
    opened: Opened,
    work: impl AsyncFnOnce(&Opened) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let result = until_stopped(work(&opened)).await;
    opened.close().await;
    result?
}

/// Works until the work is done or a signal comes.
pub(crate) async fn until_stopped<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        result = work => Ok(result),
        signal = stop_signal() => Err(Failure::stopped(signal)),
    }
}

/// The number of the signal that asks the program to end.
#[cfg(unix)]
pub(crate) async fn stop_signal() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await, // the signal ends the program in its own way
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => 2,
        () = wait(SignalKind::terminate()) => 15,
    }
}

/// The number of the signal that asks the program to end.
#[cfg(not(unix))]
pub(crate) async fn stop_signal() -> u8 {
    match tokio::signal::ctrl_c().await {
        Ok(()) => 2,
        Err(_) => std::future::pending().await,
    }
}
