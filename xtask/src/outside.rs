//! A crate of somebody else's that depends on the facade, as the README tells it to: outside of the workspace, where
//! nobody else's features help.

use std::fs;
use std::path::Path;

use crate::metadata::Workspace;
use crate::run::{self, cargo};

/// The features of its dependency.
const SELECTIONS: [&[&str]; 2] = [&["secrets-vault"], &["gemini", "ratelimit-redis"]];

const MAIN: &str = r#"#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), keyrot::ConfigError> {
    keyrot::from_env().await.map(drop)
}
"#;

/// Checks that such a crate compiles. It takes the versions of this workspace's lock file, and shares its target folder.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    for features in SELECTIONS {
        println!("a crate outside, with keyrot and {features:?}");
        let folder = workspace.target_folder.join("outside").join(features.join("-"));
        write(&folder, &manifest(features))
            .map_err(|error| format!("cannot write the crate at {}: {error}", folder.display()))?;
        let mut check = cargo(&["check", "--quiet"]);
        run::run(check.env("CARGO_TARGET_DIR", &workspace.target_folder).current_dir(&folder))?;
    }
    Ok(())
}

fn write(folder: &Path, manifest: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src/main.rs"), MAIN)?;
    fs::copy(run::root().join("Cargo.lock"), folder.join("Cargo.lock")).map(drop)
}

fn manifest(features: &[&str]) -> String {
    let facade = run::root().join("crates/keyrot");
    format!(
        r#"[package]
name = "outside"
version = "0.1.0"
edition = "2024"

[workspace]

[dependencies]
keyrot = {{ path = {facade:?}, default-features = false, features = {features:?} }}
tokio = {{ version = "1", features = ["macros", "rt"] }}
"#
    )
}
