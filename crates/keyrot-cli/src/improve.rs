//! `keyrot improve` and `keyrot fix`: from a module to a better one.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use strategy_gen::{Report, module_page};

use crate::arguments::Options;
use crate::asking::{self, AskArguments, OneArguments, Places};
use crate::failure::Failure;
use crate::progress::ProgressLine;
use crate::{delivery, output, session};

#[derive(Debug, Args)]
pub(crate) struct ImproveArguments {
    /// The module
    file: PathBuf,
    /// What to change: "make it sell short as well"
    wish: String,
    #[command(flatten)]
    one: OneArguments,
    #[command(flatten)]
    ask: AskArguments,
}

#[derive(Debug, Args)]
pub(crate) struct FixArguments {
    /// The module
    file: PathBuf,
    #[command(flatten)]
    one: OneArguments,
    #[command(flatten)]
    ask: AskArguments,
}

pub(crate) async fn improve(arguments: ImproveArguments, options: &Options) -> Result<(), Failure> {
    let ImproveArguments { file, wish, one, ask } = arguments;
    let code = asking::module(&file)?;
    let places = one.prepare()?;
    let mut wanted = ask.options()?;
    one.fill(&mut wanted);
    let settings = session::settings(options)?;
    let pipeline = ask.verify.pipeline(settings.vars()).await?;
    let opened = settings.open().await?;
    session::tell_notices(&opened);
    let generated = session::with_pool(opened, async |opened| {
        let generator = opened.generator()?.pipeline(pipeline);
        let line = ProgressLine::start();
        Ok(generator.improve(&code, &wish, &wanted, &mut |progress| line.show(progress)).await)
    })
    .await?;
    one.deliver(generated, &wish, &ask.verify, places, options)
}

pub(crate) async fn fix(arguments: FixArguments, options: &Options) -> Result<(), Failure> {
    let FixArguments { file, one, ask } = arguments;
    let code = asking::module(&file)?;
    let places = one.prepare()?;
    let mut wanted = ask.options()?;
    one.fill(&mut wanted);
    let settings = session::settings(options)?;
    let pipeline = ask.verify.pipeline(settings.vars()).await?;
    let line = ProgressLine::saying("running it in the sandbox");
    let report = session::until_stopped(pipeline.verify_code(&code)).await?;
    drop(line);
    let Some(fault) = report.fault else {
        output::note(&match &report.not_run {
            Some(why) => format!(
                "it passes the gate, and was not run: {why}; {}. Nothing was asked",
                delivery::advice(why)
            ),
            None => "it is verified as it is; nothing was asked".to_owned(),
        });
        return unchanged(&file, &code, &report, places, options);
    };
    output::note(&format!("found: {fault}"));
    let opened = settings.open().await?;
    session::tell_notices(&opened);
    let generated = session::with_pool(opened, async |opened| {
        let generator = opened.generator()?.pipeline(pipeline);
        let line = ProgressLine::start();
        let fixed = generator.fix(&code, &fault, &wanted, &mut |progress| line.show(progress)).await;
        Ok(fixed)
    })
    .await?;
    let asked = format!("Correct {}: {fault}", file.display());
    one.deliver(generated, &asked, &ask.verify, places, options)
}

/// The code as it was, without a model's name, and what was found.
fn unchanged(
    file: &Path,
    code: &str,
    report: &Report,
    places: Places,
    options: &Options,
) -> Result<(), Failure> {
    let verified = report.verified;
    let json = json!({"code": code, "unchanged": true, "verified": verified, "report": report});
    if let Some((page, as_json)) = places.report {
        let title = file.file_name().unwrap_or_default().to_string_lossy();
        page.write(&module_page(&title, code, report, "Nothing: the module is as it was."))?;
        let text = serde_json::to_string_pretty(&json).map_err(|error| asking::not_json(&error))?;
        as_json.write(&text)?;
    }
    match places.code {
        Some(out) => out.write(code)?,
        None if !options.json => output::print(code)?,
        None => {}
    }
    if options.json {
        output::print_json(&json)?;
    }
    Ok(())
}
