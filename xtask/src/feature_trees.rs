//! What a selection of the facade's features pulls in: few packages by default, one TLS stack, one HTTP client.

use std::collections::BTreeSet;

use crate::metadata::Workspace;
use crate::run::{self, cargo};

/// What a team pays for the facade with its default features, in packages of others.
const BUDGET: usize = 45;

/// Another TLS stack than rustls.
const BANNED: [&str; 2] = ["native-tls", "openssl-sys"];

/// Packages of which a program holds one version, if any: a second one would double what it builds and trusts.
const ONE_EACH: [&str; 2] = ["reqwest", "rustls"];

/// Checks the default features' number of packages, and what each of these selections of features brings.
pub(crate) fn check(workspace: &Workspace, selections: &[String]) -> Result<(), String> {
    let ours: BTreeSet<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let default = tree(&[])?;
    let foreign: BTreeSet<&str> = packages(&default).filter(|line| !ours.contains(name(line))).collect();
    println!("keyrot with its default features needs {} packages, {BUDGET} are allowed", foreign.len());
    if foreign.len() > BUDGET {
        let listed: Vec<&str> = foreign.into_iter().collect();
        return Err(format!("too many packages for the default features of keyrot:\n{}", listed.join("\n")));
    }
    for features in selections {
        if let Some(problem) = problem(&tree(&["--no-default-features", "--features", features])?) {
            return Err(format!("keyrot with the features `{features}`: {problem}"));
        }
    }
    // Tests and tools too, on every system.
    let everything =
        run::output(cargo(&["tree", "--workspace", "--all-features", "--target", "all"]).args(LINES))?;
    packages(&everything).find(|line| BANNED.contains(&name(line))).map_or(Ok(()), |line| Err(banned(line)))
}

const LINES: [&str; 4] = ["--prefix", "none", "--format", "{p}"];

fn tree(features: &[&str]) -> Result<String, String> {
    let mut tree = cargo(&["tree", "--package", "keyrot", "--edges", "normal"]);
    run::output(tree.args(LINES).args(features))
}

fn problem(tree: &str) -> Option<String> {
    if let Some(line) = packages(tree).find(|line| BANNED.contains(&name(line))) {
        return Some(banned(line));
    }
    ONE_EACH.into_iter().find_map(|package| {
        let versions: BTreeSet<&str> = packages(tree).filter(|line| name(line) == package).collect();
        let listed: Vec<&str> = versions.into_iter().collect();
        (listed.len() > 1).then(|| format!("more than one {package} is in the tree: {}", listed.join(", ")))
    })
}

fn banned(line: &str) -> String {
    format!("`{line}` is in the tree; use rustls (cargo tree --invert {})", name(line))
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
    fn a_package_that_is_shown_twice_counts_once() {
        let tree = "keyrot v0.1.0 (crates/keyrot)\nserde v1.0.0\nserde v1.0.0 (*)\nserde v2.0.0\n";
        let counted: BTreeSet<&str> = packages(tree).collect();
        assert_eq!(counted.len(), 3);
        assert_eq!(name("serde v1.0.0"), "serde");
    }

    #[test]
    fn a_second_tls_or_client_is_a_problem_wherever_it_hides() {
        let good = "keyrot v0.1.0\nrustls v0.23.1\nrustls v0.23.1 (*)\nreqwest v0.13.0\nserde v1.0.0\nserde v2.0.0\n";
        assert_eq!(problem(good), None);
        let second = problem(&format!("{good}reqwest v0.12.1\n")).unwrap();
        assert!(second.contains("reqwest v0.12.1, reqwest v0.13.0"), "{second}");
        let foreign = problem(&format!("{good}openssl-sys v0.9.1\n")).unwrap();
        assert!(foreign.contains("`openssl-sys v0.9.1` is in the tree"), "{foreign}");
    }
}
