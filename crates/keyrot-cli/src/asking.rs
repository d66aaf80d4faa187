//! What the commands that ask a model for a strategy have in common: options, and what becomes of the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use keyrot::strategy_gen::{GenerateError, GenerateOptions, Strategy};
use serde_json::Value;

use crate::arguments::{self, Options};
use crate::failure::Failure;
use crate::out_file::OutFile;
use crate::output;
use crate::verify::VerifyArguments;

#[derive(Clone, Debug, Args)]
pub(crate) struct AskArguments {
    /// The model; default: the model of the key that is drawn, or KEYROT_MODEL with a single key
    #[arg(long, value_name = "MODEL", value_parser = arguments::model)]
    model: Option<String>,
    /// Tried when no key can serve the models before it; may be repeated
    #[arg(long, value_name = "MODEL", value_parser = arguments::model)]
    fallback_model: Vec<String>,
    /// Only keys with this tag; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::tag)]
    tag: Vec<(String, String)>,
    /// How many times a strategy that is not good enough is sent back with what was found
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=20))]
    repairs: u32,
    /// A system instruction of your own, instead of what `keyrot prompt show` prints
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Most tokens of one reply, the model's thoughts included
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().max_output_tokens,
          value_parser = clap::value_parser!(u32).range(1..))]
    max_output_tokens: u32,
    /// How long one strategy may take in all, waiting for a key included
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = arguments::duration)]
    deadline: Duration,
    #[command(flatten)]
    pub(crate) verify: VerifyArguments,
}

impl AskArguments {
    pub(crate) fn options(&self) -> Result<GenerateOptions, Failure> {
        let mut options = GenerateOptions::default()
            .deadline(self.deadline)
            .repairs(self.repairs)
            .max_output_tokens(self.max_output_tokens);
        options.model = self.model.as_deref().map(Into::into);
        options.fallback_models = self.fallback_model.iter().map(|model| model.as_str().into()).collect();
        options.tags = self.tag.iter().cloned().collect();
        options.system_instruction = self.prompt.as_deref().map(|path| read("--prompt", path)).transpose()?;
        Ok(options)
    }
}

/// The class of one strategy, and where it goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct OneArguments {
    /// Name of the strategy's class
    #[arg(long, value_name = "CLASS")]
    name: Option<String>,
    /// A class attribute that the strategy must have, with its default; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::parameter)]
    param: Vec<(String, String)>,
    /// Write the code to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file of --out
    #[arg(long, requires = "out")]
    force: bool,
    /// Write a report to this folder as well: a page for people, index.html, and report.json
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// Files that are still to be written.
pub(crate) struct Places {
    pub(crate) code: Option<OutFile>,
    /// The page for people, and the JSON.
    pub(crate) report: Option<(OutFile, OutFile)>,
}

impl OneArguments {
    pub(crate) fn fill(&self, options: &mut GenerateOptions) {
        options.class_name.clone_from(&self.name);
        options.parameters = self.param.iter().cloned().collect();
    }

    /// The files of --out and --report; before anything is spent.
    pub(crate) fn prepare(&self) -> Result<Places, Failure> {
        let code = self.out.as_deref().map(|path| OutFile::prepare(path, self.force)).transpose()?;
        let report = match &self.report {
            Some(folder) => {
                fs::create_dir_all(folder).map_err(|error| {
                    Failure::usage(format!("--report {} cannot be made: {error}", folder.display()))
                })?;
                let file = |name: &str| OutFile::prepare(&folder.join(name), true);
                Some((file("index.html")?, file("report.json")?))
            }
            None => None,
        };
        Ok(Places { code, report })
    }

    /// Delivers what may be delivered; of the rest the best is kept beside the file that was wanted. `asked` is what
    /// was asked for.
    pub(crate) fn deliver(
        &self,
        generated: Result<Strategy, GenerateError>,
        asked: &str,
        verify: &VerifyArguments,
        places: Places,
        options: &Options,
    ) -> Result<(), Failure> {
        let best = generated.as_ref().map_or_else(GenerateError::best, Some);
        if let (Some((page, json)), Some(best)) = (places.report, best) {
            page.write(&strategy_gen::page(best, asked))?;
            json.write(&as_json(best)?)?;
        }
        let kept = match (generated.as_ref().err().and_then(GenerateError::best), &self.out) {
            (Some(best), Some(out)) if !verify.allows_unverified() => Some(keep_rejected(best, out)?),
            _ => None,
        };
        let withheld = best.filter(|best| options.json && !best.verified).map(without_code).transpose()?;
        let strategy = match (verify.choose(generated), withheld) {
            (Ok(strategy), _) => strategy,
            (Err(failure), withheld) => {
                withheld.map_or(Ok(()), |withheld| output::print_json(&withheld))?;
                return Err(match kept {
                    Some(path) => failure
                        .adding(&format!("the best of them is in {}, its report beside it", path.display())),
                    None => failure,
                });
            }
        };
        for warning in &strategy.warnings {
            output::warning(warning);
        }
        for assumed in &strategy.report.assumptions {
            output::note(&format!("assumed: {assumed}"));
        }
        if let Some(out) = places.code {
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
}

/// `s.py` is wanted: the code goes to `s.rejected.py`, all that is known of it to `s.rejected.json`.
pub(crate) fn keep_rejected(strategy: &Strategy, wanted: &Path) -> Result<PathBuf, Failure> {
    OutFile::prepare(&wanted.with_extension("rejected.json"), true)?.write(&as_json(strategy)?)?;
    let code = wanted.with_extension("rejected.py");
    OutFile::prepare(&code, true)?.write(&strategy.code)?;
    Ok(code)
}

fn as_json(strategy: &Strategy) -> Result<String, Failure> {
    serde_json::to_string_pretty(strategy).map_err(|error| not_json(&error))
}

/// All that is known of a strategy that is withheld.
fn without_code(strategy: &Strategy) -> Result<Value, Failure> {
    let mut json = serde_json::to_value(strategy).map_err(|error| not_json(&error))?;
    json["code"] = Value::Null;
    Ok(json)
}

pub(crate) fn not_json(error: &serde_json::Error) -> Failure {
    Failure::failed(format!("the report cannot be written as JSON: {error}"))
}

/// A text file that an argument names.
pub(crate) fn read(argument: &str, path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{argument} {} cannot be read: {error}", path.display())))?;
    // Some editors begin a file with a mark of its encoding.
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// A module that is to be changed.
pub(crate) fn module(path: &Path) -> Result<String, Failure> {
    let code = read("the file", path)?;
    match code.trim() {
        "" => Err(Failure::usage(format!("the file {} is empty; generate writes a new one", path.display()))),
        _ => Ok(code),
    }
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
