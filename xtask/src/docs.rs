//! `cargo xtask docs`: rustdoc without a warning, and links that lead somewhere.

use crate::run::{self, cargo};
use crate::{docs_rules, tree};

pub(crate) fn run() -> Result<(), String> {
    let findings = docs_rules::links(&tree::load()?);
    if !findings.is_empty() {
        return Err(format!("links of the documentation are broken:\n{}", findings.join("\n")));
    }
    // The libraries only: the command's binary has the name of the facade, and would overwrite its pages.
    run::run(
        cargo(&["doc", "--workspace", "--no-deps", "--lib", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}
