//! A model and a runner of your own: each is a program of yours that is given a text and prints one.
//!
//! `cargo run -p strategy-gen --example own_model_and_runner -- MODEL RUNNER "Buy when RSI < 30, sell when RSI > 70"`
//!
//! MODEL gets what it is to answer; RUNNER gets a module of Python and prints what running it has shown, as JSON. It may
//! ask another machine to do it, or a container.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{Clock, KeyId, KeyRequest, ModelName, ProjectId, SystemClock};
use strategy_gen::{
    AttemptReport, Backtest, CallCause, CallError, CannotRun, Finish, GenerateOptions, LanguageModel,
    OnProgress, Pipeline, Progress, Prompt, Reply, Run, Runner, Stage, StrategyGenerator, Task, TokenUsage,
};

/// What the program prints when it is given this text.
fn ask(program: &str, text: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{program} cannot be run: {error}");
    let mut command = Command::new(program);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => {
            String::from_utf8(output.stdout).map_err(|error| format!("{program} prints no text: {error}"))
        }
        false => Err(format!("{program} ended with {}", output.status)),
    }
}

/// The same beside other work.
async fn ask_in_a_thread(program: &str, text: String) -> Result<String, String> {
    let program = program.to_owned();
    let asked = tokio::task::spawn_blocking(move || ask(&program, &text)).await;
    asked.unwrap_or_else(|error| Err(error.to_string()))
}

#[derive(Debug)]
struct OwnModel {
    program: String,
}

#[async_trait]
impl LanguageModel for OwnModel {
    async fn ask(
        &self,
        prompt: &Prompt,
        _: KeyRequest,
        progress: OnProgress<'_>,
    ) -> Result<Reply, CallError> {
        let begun = SystemClock.now();
        let failed = |error: String| CallError::new(Vec::new(), CallCause::Failed(error.into()));
        let asked = format!("{}\n\n{}", prompt.system, prompt.text);
        let text = ask_in_a_thread(&self.program, asked).await.map_err(failed)?;
        progress(Progress::new(text.chars().count(), None));
        let key_id = KeyId::parse("none").map_err(|error| failed(error.to_string()))?;
        let (model, elapsed) = (ModelName::from("own"), SystemClock.now() - begun);
        let attempt = AttemptReport::success(key_id.clone(), ProjectId::from("none"), model.clone(), elapsed);
        Ok(Reply {
            text,
            finish: Finish::Complete,
            model,
            model_version: None,
            key_id,
            attempts: vec![attempt],
            usage: TokenUsage::default(),
            elapsed,
        })
    }
}

#[derive(Debug)]
struct OwnRunner {
    program: String,
}

#[async_trait]
impl Runner for OwnRunner {
    async fn run(&self, task: &Task) -> Result<Run, CannotRun> {
        let begun = SystemClock.now();
        let shown = ask_in_a_thread(&self.program, task.code.clone()).await.map_err(CannotRun::Broken)?;
        let backtest: Backtest =
            serde_json::from_str(&shown).map_err(|error| CannotRun::Broken(error.to_string()))?;
        Ok(Run::new(Ok(backtest), vec![(Stage::Backtest, SystemClock.now() - begun)]))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(runner), Some(text)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("three arguments are needed: MODEL RUNNER \"what the strategy does\"".into());
    };
    let pipeline = Pipeline::default().runner(OwnRunner { program: runner });
    let generator = StrategyGenerator::new(OwnModel { program: model }).pipeline(pipeline);
    let options = GenerateOptions::default().deadline(Duration::from_secs(600));
    let strategy = generator.generate(&text, &options).await?;
    for stage in &strategy.report.stages {
        println!("# {}: {}", stage.stage.name(), if stage.passed { "passed" } else { "failed" });
    }
    println!("# verified: {}, {} replies", strategy.verified, strategy.attempts.len());
    println!("{}", strategy.code);
    Ok(())
}
