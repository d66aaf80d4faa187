//! The simulator as a command.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gemini_sim::{Config, ServerOptions, SimServer, StartError};

const EXAMPLE: &str = r#"{
  "projects": [
    {"id": "alpha", "keys": [{"id": "a1", "secret": "any-text-1"}, {"id": "a2", "secret": "any-text-2"}],
     "limits": {"gemini-3.8-flash": {"rpm": 10, "tpm": 250000, "rpd": 250}, "*": {"rpm": 5}}},
    {"id": "beta", "tier": "paid", "keys": [{"id": "b1", "secret": "any-text-3"}], "window": {"type": "sliding"}}
  ],
  "window": {"type": "fixed", "phase_ms": 0},
  "latency": {"type": "lognormal", "median_ms": 400, "sigma": 0.6},
  "faults": [
    {"kind": "key_leaked", "key": "a2", "from_ms": 60000},
    {"kind": "overloaded", "project": "beta", "to_ms": 30000, "probability": 0.5},
    {"kind": {"quota": {"retry_after_s": 30}}, "model": "gemini-flash-latest", "times": 1}
  ]
}"#;

const CONTROL: &str = "GET /sim/attempts and /sim/state show what happened, POST and DELETE /sim/faults change what goes \
                       wrong, POST /sim/reset begins anew.";

/// A Gemini lookalike with real quota rules and scripted faults.
#[derive(Debug, Parser)]
#[command(version, after_long_help = format!("{CONTROL}\n\nAn example of FILE:\n{EXAMPLE}"))]
struct Arguments {
    /// JSON file with projects, keys, limits and faults
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8600")]
    listen: SocketAddr,
    /// Simulated seconds in a real one
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// Seed of latencies and fault probabilities
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the command's messages")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gemini-sim: {error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "scripts read the address there")]
async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let config = read(&arguments.config)?;
    let Arguments { listen, speed, seed, .. } = arguments;
    let server = SimServer::start_with(config, ServerOptions { listen, speed, seed, start_ms: None }).await;
    let server = server.map_err(|error| match error {
        StartError::Config(error) => format!("{}:\n{error}", arguments.config.display()).into(),
        other => Box::<dyn Error>::from(other),
    })?;
    println!("{}", server.base_url());
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}

fn read(path: &PathBuf) -> Result<Config, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Config::from_json(&text).map_err(|error| format!("{}:\n{error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_help_can_be_used() {
        let config = Config::from_json(EXAMPLE).unwrap();
        assert_eq!((config.projects.len(), config.faults.len()), (2, 3));
    }
}
