//! `cargo xtask features`: every package and every feature of the facade compiles alone, and the default build of the
//! facade stays small.
//!
//! The workspace is compiled as a whole otherwise, where one package's features hide what another one forgot to ask for.

use crate::metadata::{self, Workspace};
use crate::run::{self, cargo};
use crate::{feature_trees, outside};

pub(crate) fn run() -> Result<(), String> {
    check(&metadata::load()?)
}

/// The same, for a workspace that is known already.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    let selections = selections(workspace);
    feature_trees::check(workspace, &selections)?;
    for features in &selections {
        println!("keyrot with {}", if features.is_empty() { "no feature" } else { features });
        lint(&["keyrot", "--no-default-features", "--features", features])?;
    }
    // xtask is running, so it compiles; the facade was above.
    let others = workspace.packages.iter().filter(|package| !["keyrot", "xtask"].contains(&&*package.name));
    for package in others {
        println!("{} alone", package.name);
        lint(&[&package.name])?;
    }
    outside::check(workspace)
}

/// Clippy rather than check: what is unused only without a feature is a warning.
fn lint(package: &[&str]) -> Result<(), String> {
    let mut clippy = cargo(&["clippy", "--quiet", "--package"]);
    run::run(clippy.args(package).args(["--", "-D", "warnings"]))
}

/// No feature, each alone, all: as arguments of `--features`.
fn selections(workspace: &Workspace) -> Vec<String> {
    let facade = workspace.packages.iter().find(|package| package.name == "keyrot");
    let features: Vec<String> = facade.map(|facade| facade.features.clone()).unwrap_or_default();
    let single = features.iter().filter(|feature| !["default", "full"].contains(&feature.as_str()));
    let mut selections = vec![String::new()];
    selections.extend(single.cloned());
    selections.push(features.join(","));
    selections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_tried_alone_between_none_and_all() {
        let selections = selections(&metadata::load().unwrap());
        assert_eq!(selections.first().unwrap(), "");
        assert!(selections.contains(&"secrets-env".to_owned()));
        assert!(!selections.contains(&"full".to_owned()));
        assert!(selections.last().unwrap().contains("full"));
    }
}
