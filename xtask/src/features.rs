//! `cargo xtask features`: every package and every feature of the facade compiles alone, and the default build of the
//! facade stays small.
//!
//! The workspace is compiled as a whole otherwise, where one package's features hide what another one forgot to ask for.

use std::collections::BTreeSet;

use crate::metadata::{self, Workspace};
use crate::run::{self, cargo};

/// What a team pays for the facade with its default features, in packages of others.
const BUDGET: usize = 45;

/// One TLS stack: rustls.
const BANNED: [&str; 2] = ["native-tls", "openssl-sys"];

pub(crate) fn run() -> Result<(), String> {
    check(&metadata::load()?)
}

/// The same, for a workspace that is known already.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    budget(workspace)?;
    for features in selections(workspace) {
        println!("keyrot with {}", if features.is_empty() { "no feature" } else { &features });
        lint(&["keyrot", "--no-default-features", "--features", &features])?;
    }
    // xtask is running, so it compiles; the facade was above.
    let others = workspace.packages.iter().filter(|package| !["keyrot", "xtask"].contains(&&*package.name));
    for package in others {
        println!("{} alone", package.name);
        lint(&[&package.name])?;
    }
    Ok(())
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

fn budget(workspace: &Workspace) -> Result<(), String> {
    let tree = run::output(&mut cargo(&[
        "tree",
        "--package",
        "keyrot",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let ours: BTreeSet<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let foreign: BTreeSet<&str> = packages(&tree).filter(|line| !ours.contains(name(line))).collect();
    println!("keyrot with its default features needs {} packages, {BUDGET} are allowed", foreign.len());
    if foreign.len() > BUDGET {
        let listed: Vec<&str> = foreign.into_iter().collect();
        return Err(format!("too many packages for the default features of keyrot:\n{}", listed.join("\n")));
    }
    let everything = run::output(&mut cargo(&[
        "tree",
        "--workspace",
        "--all-features",
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    match packages(&everything).find(|line| BANNED.contains(&name(line))) {
        Some(found) => {
            Err(format!("`{found}` is in the tree; use rustls (cargo tree --invert {})", name(found)))
        }
        None => Ok(()),
    }
}

/// The lines of `cargo tree`, without the marks of those that it shows again.
fn packages(tree: &str) -> impl Iterator<Item = &str> {
    tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty())
}

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or(line)
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

    #[test]
    fn a_package_that_is_shown_twice_counts_once() {
        let tree = "keyrot v0.1.0 (crates/keyrot)\nserde v1.0.0\nserde v1.0.0 (*)\nserde v2.0.0\n";
        let counted: BTreeSet<&str> = packages(tree).collect();
        assert_eq!(counted.len(), 3);
        assert_eq!(name("serde v1.0.0"), "serde");
    }
}
