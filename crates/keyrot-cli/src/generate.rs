//! `keyrot generate`: a sentence becomes a strategy.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use keyrot::Opened;
use keyrot::strategy_gen::{GenerateOptions, Strategy};

use crate::arguments::{self, Options};
use crate::failure::Failure;
use crate::out_file::OutFile;
use crate::output;
use crate::progress::ProgressLine;
use crate::session;

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
    /// Write the code to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file of --out
    #[arg(long, requires = "out")]
    force: bool,
    /// How long it may take in all, waiting for a key included
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = arguments::duration)]
    deadline: Duration,
}

pub(crate) async fn run(arguments: GenerateArguments, options: &Options) -> Result<(), Failure> {
    // Before anything is spent.
    let out = arguments.out.as_deref().map(|path| OutFile::prepare(path, arguments.force)).transpose()?;
    let wanted = wanted(&arguments);
    let opened = session::settings(options)?.open().await?;
    session::tell_notices(&opened);
    let strategy =
        session::with_pool(opened, async |opened| generate(opened, &arguments.text, &wanted).await).await?;
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
    let mut options = GenerateOptions::default().deadline(arguments.deadline);
    options.model = arguments.model.as_deref().map(Into::into);
    options.fallback_models = arguments.fallback_model.iter().map(|model| model.as_str().into()).collect();
    options.tags = arguments.tag.iter().cloned().collect();
    options.class_name.clone_from(&arguments.name);
    options
}

async fn generate(opened: &Opened, text: &str, options: &GenerateOptions) -> Result<Strategy, Failure> {
    let generator = opened.generator()?;
    let line = ProgressLine::start();
    Ok(generator.generate_with_progress(text, options, &mut |progress| line.show(progress)).await?)
}

fn summary(strategy: &Strategy) -> String {
    let Strategy { class_name, model, key_id, attempts, usage, .. } = strategy;
    let version = strategy.model_version.as_deref().filter(|version| *version != model.as_str());
    let version = version.map_or(String::new(), |version| format!(" ({version})"));
    let tries =
        if attempts.len() == 1 { "1 attempt".to_owned() } else { format!("{} attempts", attempts.len()) };
    format!(
        "{class_name} by {model}{version} with key {key_id}, {tries}, {} + {} tokens",
        usage.input_tokens, usage.output_tokens
    )
}
