//! `keyrot demo`: six keys of a simulated provider get into trouble, and nobody who asks for a strategy notices.
//!
//! Everything happens in this process and on its loopback address; no variable, file or network of the user
//! is touched. What was generated is run at the end, if `keyrot python setup` has made an environment for it.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use gemini_sim::SimServer;
use keyrot_core::{Clock, KeyPool, SystemClock};
use strategy_gen::StrategyGenerator;
use strategy_gen::keyrot_gemini::{Gemini, PooledGemini};
use tokio::sync::mpsc;

use crate::demo_load::{self, SENTENCES};
use crate::demo_notes::seconds;
use crate::demo_scene::{self, LEAKED, RETIRED, SMALL, STORMY, Scene};
use crate::demo_screen::{self, Screen};
use crate::demo_summary::{Summary, Tally};
use crate::demo_verify::Verification;
use crate::demo_watch::{KeyView, Watch};
use crate::session;

/// Show keys rotate, fail and recover, on a simulated provider; needs no key and no network.
///
/// What was generated is then run in the sandbox, if `keyrot python setup` was run.
/// Exits with 0 if no caller saw a failure and every strategy is good, else with 1. Ctrl-C and SIGTERM end it with the summary so far.
#[derive(Args, Debug)]
pub(crate) struct DemoArguments {
    /// How long strategies are asked for, in seconds.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
}

/// How often the keys are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The same keys are drawn in every run, as far as the network keeps its order.
const SEED: u64 = 7;

/// Runs the demonstration. Its summary goes to standard output, its progress to standard error.
pub(crate) async fn run(arguments: &DemoArguments, json: bool) -> Result<ExitCode, Box<dyn Error>> {
    let scene = Scene { lasts: Duration::from_secs(arguments.seconds) };
    let sim = SimServer::start(scene.provider()).await?;
    let keys = demo_scene::keys()?;
    let pool = KeyPool::builder(keys.clone())
        .secrets(demo_scene::secrets(&keys))
        .cooldown(scene.cooldown())
        .seed(SEED)
        .build();
    let client = Gemini::builder().base_url(sim.base_url()).build()?;
    let generator = StrategyGenerator::new(PooledGemini::new(pool.clone(), client));
    let mut stage = Stage {
        begun: SystemClock.now(),
        screen: Screen::open(&title(scene), json),
        watch: Watch::new(pool.clone()),
        tally: Tally::default(),
        keys: Vec::new(),
    };
    let mut interrupted = stage.play(generator, scene).await?;
    let took = SystemClock.now() - stage.begun;
    pool.close().await;
    let mut verification = None;
    if !interrupted {
        (verification, interrupted) = stage.verify().await?;
    }
    let Stage { screen, tally, keys, .. } = stage;
    screen.close();
    let summary = Summary::new(took, interrupted, tally, &sim.attempts(), &keys, verification);
    let text = if json { serde_json::to_string_pretty(&summary)? } else { summary.text() };
    writeln!(io::stdout(), "{text}")?;
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn title(scene: Scene) -> String {
    let (storm, calm) = scene.storm();
    let cooldown = scene.cooldown();
    format!(
        "keyrot demo: {} sentences, a simulated Gemini, 6 keys in 4 projects\n\
         To come: {RETIRED} not valid, {SMALL} out of quota, {LEAKED} leaked after {},\n\
         {STORMY} overloaded {} to {}. Cooldowns {} to {}, usually 30 s to 15 min",
        SENTENCES.len(),
        seconds(scene.leak()),
        seconds(storm),
        seconds(calm),
        seconds(cooldown.base),
        seconds(cooldown.max),
    )
}

/// What is going on.
struct Stage {
    begun: Instant,
    screen: Screen,
    watch: Watch,
    tally: Tally,
    /// As they were at the last look.
    keys: Vec<KeyView>,
}

impl Stage {
    /// Until all has been asked for and answered; true if a signal ended it before.
    async fn play(&mut self, generator: StrategyGenerator, scene: Scene) -> Result<bool, Box<dyn Error>> {
        let (sender, mut finished) = mpsc::unbounded_channel();
        let load = tokio::spawn(demo_load::generate(generator, self.begun + scene.lasts, sender));
        let mut stop = std::pin::pin!(session::stop_signal());
        let mut next_look = self.begun;
        let interrupted = loop {
            tokio::select! {
                ended = finished.recv() => {
                    let Some(ended) = ended else { break false };
                    let line = self.tally.add(ended);
                    self.screen.generation(self.elapsed(), &line);
                }
                _ = &mut stop => break true,
                () = SystemClock.sleep_until(next_look) => {
                    self.look().await?;
                    next_look = SystemClock.now() + LOOK;
                }
            }
        };
        load.abort();
        self.look().await?;
        Ok(interrupted)
    }

    /// Runs what was generated; nothing and true if a signal ended it before.
    async fn verify(&self) -> Result<(Option<Verification>, bool), Box<dyn Error>> {
        let mut show = |line: String| {
            self.screen.generation(self.elapsed(), &line);
            self.screen.draw(&self.keys, &line);
        };
        tokio::select! {
            verification = Verification::of(&self.tally.modules, &mut show) => Ok((Some(verification), false)),
            _ = session::stop_signal() => Ok((None, true)),
        }
    }

    async fn look(&mut self) -> Result<(), Box<dyn Error>> {
        let at = self.elapsed();
        let (keys, events) = self.watch.look().await?;
        self.keys = keys;
        for event in &events {
            self.screen.event(at, event);
        }
        let status = demo_screen::status(at, self.tally.strategies, self.tally.failures.len());
        self.screen.draw(&self.keys, &status);
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        SystemClock.now() - self.begun
    }
}
