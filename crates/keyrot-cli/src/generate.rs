//! `keyrot generate`: a sentence becomes a strategy, or a file of sentences a folder of them.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::arguments::Options;
use crate::asking::{AskArguments, OneArguments};
use crate::batch::{self, Batch};
use crate::failure::Failure;
use crate::progress::ProgressLine;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// What the strategy does, in a sentence
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    text: Option<String>,
    #[command(flatten)]
    one: OneArguments,
    /// Generate one strategy for each line of this file: {"text": "...", "id": "...", "name": "...", "params": {...}},
    /// of which the text is needed
    #[arg(long, value_name = "FILE", requires = "out_dir", conflicts_with_all = ["name", "param", "out", "report"])]
    batch: Option<PathBuf>,
    /// The folder for the strategies of --batch; what is there already is not done again
    #[arg(long, value_name = "DIR", requires = "batch", conflicts_with = "text")]
    out_dir: Option<PathBuf>,
    /// How many of --batch are under way at a time
    #[arg(long, value_name = "N", default_value = "4", requires = "batch")]
    concurrency: NonZeroUsize,
    #[command(flatten)]
    ask: AskArguments,
}

pub(crate) async fn run(arguments: GenerateArguments, options: &Options) -> Result<(), Failure> {
    let GenerateArguments { text, one, batch, out_dir, concurrency, ask } = arguments;
    if let (Some(file), Some(folder)) = (batch, out_dir) {
        return batch::run(Batch::read(&file, &folder, concurrency, &ask)?, &ask, options).await;
    }
    // Before anything is spent.
    let places = one.prepare()?;
    let text = text.unwrap_or_default();
    let mut wanted = ask.options()?;
    one.fill(&mut wanted);
    let settings = session::settings(options)?;
    let pipeline = ask.verify.pipeline(settings.vars()).await?;
    let opened = settings.open().await?;
    session::tell_notices(&opened);
    let generated = session::with_pool(opened, async |opened| {
        let generator = opened.generator()?.pipeline(pipeline);
        let line = ProgressLine::start();
        let show = &mut |progress| line.show(progress);
        Ok(generator.generate_with_progress(&text, &wanted, show).await)
    })
    .await?;
    one.deliver(generated, &text, &ask.verify, places, options)
}
