//! `keyrot generate`: a sentence becomes a strategy.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use keyrot::strategy_gen::{GenerateOptions, Strategy};

use crate::arguments::{self, Options};
use crate::failure::Failure;
use crate::out_file::OutFile;
use crate::output;
use crate::progress::ProgressLine;
use crate::session;
use crate::verify::VerifyArguments;

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// What the strategy does, in a sentence
    text: String,
    /// The model; default: the model of the key that is drawn, or KEYROT_MODEL with a single key
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Tried when no key can serve the models before it; may be repeated
    #[arg(long, value_name = "MODEL")]
    fallback_model: Vec<String>,
    /// Only keys with this tag; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::tag)]
    tag: Vec<(String, String)>,
    /// Name of the strategy's class
    #[arg(long, value_name = "CLASS")]
    name: Option<String>,
    /// A class attribute that the strategy must have, with its default; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::tag)]
    param: Vec<(String, String)>,
    /// How many times a strategy that is not good enough is sent back with what was found
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=20))]
    repairs: u32,
    /// Write the code to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file of --out
    #[arg(long, requires = "out")]
    force: bool,
    /// How long it may take in all, waiting for a key included
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = arguments::duration)]
    deadline: Duration,
    #[command(flatten)]
    verify: VerifyArguments,
}

pub(crate) async fn run(arguments: GenerateArguments, options: &Options) -> Result<(), Failure> {
    // Before anything is spent.
    let out = arguments.out.as_deref().map(|path| OutFile::prepare(path, arguments.force)).transpose()?;
    let wanted = wanted(&arguments);
    let settings = session::settings(options)?;
    let pipeline = arguments.verify.pipeline(settings.vars())?;
    let opened = settings.open().await?;
    session::tell_notices(&opened);
    let generated = session::with_pool(opened, async |opened| {
        let generator = opened.generator()?.pipeline(pipeline);
        let line = ProgressLine::start();
        let show = &mut |progress| line.show(progress);
        Ok(generator.generate_with_progress(&arguments.text, &wanted, show).await)
    })
    .await?;
    let strategy = arguments.verify.choose(generated)?;
    for warning in &strategy.warnings {
        output::warning(warning);
    }
    if let Some(out) = out {
        out.write(&strategy.code)?;
    } else if !options.json {
        output::print(&strategy.code)?;
    }
    if options.json {
        output::print_json(&strategy)?;
    }
    output::note(&summary(&strategy));
    Ok(())
}

fn wanted(arguments: &GenerateArguments) -> GenerateOptions {
    let mut options = GenerateOptions::default().deadline(arguments.deadline).repairs(arguments.repairs);
    options.model = arguments.model.as_deref().map(Into::into);
    options.fallback_models = arguments.fallback_model.iter().map(|model| model.as_str().into()).collect();
    options.tags = arguments.tag.iter().cloned().collect();
    options.parameters = arguments.param.iter().cloned().collect();
    options.class_name.clone_from(&arguments.name);
    options
}

fn summary(strategy: &Strategy) -> String {
    let Strategy { class_name, model, key_id, attempts, usage, report, .. } = strategy;
    let version = strategy.model_version.as_deref().filter(|version| *version != model.as_str());
    let version = version.map_or(String::new(), |version| format!(" ({version})"));
    let tries =
        if attempts.len() == 1 { "1 attempt".to_owned() } else { format!("{} attempts", attempts.len()) };
    let verified = match (&report.data, &report.backtest) {
        (Some(data), Some(backtest)) if strategy.verified => {
            let percent = |name: &str| backtest.statistics.get(name).and_then(|value| value.as_f64());
            let gain = percent("Return [%]").map_or(String::new(), |gain| format!(", return {gain:.1} %"));
            format!("\nverified on {data}: {} trades{gain}", backtest.trades)
        }
        _ => String::new(),
    };
    format!(
        "{class_name} by {model}{version} with key {key_id}, {tries}, {} + {} tokens{verified}",
        usage.input_tokens, usage.output_tokens
    )
}
