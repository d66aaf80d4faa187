//! `keyrot generate --batch`: a file of descriptions becomes a folder of strategies, resumable at any point.

use std::fs::{self, File, TryLockError};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use keyrot::strategy_gen::{GenerateError, GenerateOptions, Strategy, StrategyGenerator};
use serde::{Deserialize, Serialize};

use crate::arguments::Options;
use crate::asking::{self, AskArguments};
use crate::batch_items::{self, Item};
use crate::batch_progress::BatchProgress;
use crate::failure::Failure;
use crate::out_file::OutFile;
use crate::{output, session};

/// What is to be done.
pub(crate) struct Batch {
    items: Vec<Item>,
    folder: PathBuf,
    at_a_time: usize,
    options: GenerateOptions,
    /// Held as long as this process works in the folder; the system frees it whatever ends the process.
    _lock: File,
}

/// What is kept of an item beside its code. Its file is there only when the code's is.
#[derive(Debug, Serialize, Deserialize)]
struct Done<R> {
    version: u32,
    #[serde(flatten)]
    item: Item,
    result: R,
}

/// Of the result of an earlier run, what tells whether it will do.
#[derive(Debug, Deserialize)]
struct Earlier {
    verified: bool,
    class_name: String,
}

/// One line of standard output.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    /// `verified`, `unverified`, `failed`, or `skipped` if it was done before.
    status: &'static str,
    file: Option<PathBuf>,
    class_name: Option<String>,
    verified: bool,
    attempts: usize,
    error: Option<String>,
}

impl Batch {
    /// Looks through the whole file before anything is spent.
    pub(crate) fn read(
        file: &Path,
        folder: &Path,
        at_a_time: NonZeroUsize,
        ask: &AskArguments,
    ) -> Result<Self, Failure> {
        let items = batch_items::parse(&asking::read("--batch", file)?)
            .map_err(|problems| Failure::usage(format!("--batch {}: {problems}", file.display())))?;
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("--out-dir {} cannot be used: {error}", folder.display()))
        };
        if folder.is_file() {
            return Err(cannot(&"it is a file; name a folder"));
        }
        fs::create_dir_all(folder).map_err(|error| cannot(&error))?;
        let lock = File::create(folder.join(".keyrot-batch.lock")).map_err(|error| cannot(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(cannot(&"another keyrot is at work in it")),
            Err(TryLockError::Error(error)) => return Err(cannot(&error)),
        }
        let (folder, at_a_time, options) = (folder.to_owned(), at_a_time.get(), ask.options()?);
        Ok(Self { items, folder, at_a_time, options, _lock: lock })
    }

    fn place(&self, item: &Item, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", item.id))
    }

    /// The result of an earlier run, if the item was the same and the result will do.
    fn earlier(&self, item: &Item, ask: &AskArguments) -> Option<Earlier> {
        let text = fs::read_to_string(self.place(item, "json")).ok()?;
        let done: Done<Earlier> = serde_json::from_str(&text).ok()?;
        let will_do = done.item == *item
            && self.place(item, "py").exists()
            && (done.result.verified || !ask.verify.requires_verified());
        will_do.then_some(done.result)
    }

    async fn make(&self, item: &Item, generator: &StrategyGenerator, ask: &AskArguments) -> Line {
        let mut options = self.options.clone();
        options.class_name.clone_from(&item.name);
        options.parameters.clone_from(&item.params);
        let generated = generator.generate(&item.text, &options).await;
        let attempts = match &generated {
            Ok(strategy) => strategy.attempts.len(),
            Err(error) => error.spent().map_or(0, |spent| spent.attempts.len()),
        };
        let line = Line {
            id: item.id.clone(),
            status: "failed",
            file: None,
            class_name: None,
            verified: false,
            attempts,
            error: None,
        };
        let kept =
            match (generated.as_ref().err().and_then(GenerateError::best), ask.verify.allows_unverified()) {
                (Some(best), false) => asking::keep_rejected(best, &self.place(item, "py")).map(drop),
                _ => Ok(()),
            };
        let kept = kept.and_then(|()| self.keep(item, ask.verify.choose(generated)?));
        match kept {
            Ok(strategy) => Line {
                status: if strategy.verified { "verified" } else { "unverified" },
                file: Some(self.place(item, "py")),
                class_name: Some(strategy.class_name),
                verified: strategy.verified,
                ..line
            },
            Err(failure) => Line { error: Some(failure.message().to_owned()), ..line },
        }
    }

    /// The code first, then what marks the item as done.
    fn keep(&self, item: &Item, strategy: Strategy) -> Result<Strategy, Failure> {
        OutFile::prepare(&self.place(item, "py"), true)?.write(&strategy.code)?;
        let done = Done { version: 1, item: item.clone(), result: &strategy };
        let text = serde_json::to_string_pretty(&done)
            .map_err(|error| Failure::failed(format!("the result cannot be written as JSON: {error}")))?;
        OutFile::prepare(&self.place(item, "json"), true)?.write(&text)?;
        Ok(strategy)
    }
}

pub(crate) async fn run(batch: Batch, ask: &AskArguments, options: &Options) -> Result<(), Failure> {
    let settings = session::settings(options)?;
    let pipeline = ask.verify.pipeline(settings.vars()).await?;
    let opened = settings.open().await?;
    session::tell_notices(&opened);
    let (mut failed, all) = (0, batch.items.len());
    if let Some(why) = pipeline.not_run().filter(|_| ask.verify.wants_a_run()) {
        output::warning(&format!("nothing of it is verified: {why}; {}", crate::delivery::advice(why)));
    }
    let worked = session::with_pool(opened, async |opened| {
        let generator = opened.generator()?.pipeline(pipeline);
        let progress = BatchProgress::start(all, &opened.pool);
        let lines = batch.items.iter().map(async |item| match batch.earlier(item, ask) {
            Some(earlier) => Line {
                id: item.id.clone(),
                status: "skipped",
                file: Some(batch.place(item, "py")),
                class_name: Some(earlier.class_name),
                verified: earlier.verified,
                attempts: 0,
                error: None,
            },
            None => batch.make(item, &generator, ask).await,
        });
        let mut lines = stream::iter(lines).buffer_unordered(batch.at_a_time);
        while let Some(line) = lines.next().await {
            failed += usize::from(line.status == "failed");
            progress.one_more(line.status == "skipped");
            let text = serde_json::to_string(&line)
                .map_err(|error| Failure::failed(format!("the result cannot be written as JSON: {error}")))?;
            progress.beside(|| output::print(&text))?;
        }
        Ok(())
    })
    .await;
    worked.map_err(|failure| {
        if !failure.is_stopped() {
            return failure;
        }
        let done = batch.items.iter().filter(|item| batch.earlier(item, ask).is_some()).count();
        failure.adding(&format!("{done} of {all} are done; the same command goes on with the others"))
    })?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{failed} of {all} failed; the same command tries these again and leaves the others as they are"
        ))),
    }
}
