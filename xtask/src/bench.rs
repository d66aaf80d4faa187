//! `cargo xtask bench [FILTER]`: the benchmarks of the workspace.

use crate::run::{self, cargo};
use crate::{metadata, provision};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(option) = arguments.iter().find(|argument| argument.starts_with('-')) {
        return Err(format!(
            "there is no option `{option}`; the only argument is a part of a benchmark's name"
        ));
    }
    let workspace = metadata::load()?;
    let tools = provision::tools(&workspace)?; // some measure with servers of others
    // The double of Azure Key Vault is a program, which a benchmark does not build by itself.
    run::run(&mut cargo(&["build", "--release", "--package", "keyrot-test-servers", "--bins"]))?;
    let mut ran = 0;
    for package in &workspace.packages {
        for bench in &package.benches {
            println!("\n== {} of {}", bench, package.name);
            let mut command = cargo(&["bench", "--package", &package.name, "--bench", bench, "--"]);
            run::run(command.args(arguments).env("KEYROT_TEST_TOOLS", &tools.folder))?;
            ran += 1;
        }
    }
    if ran == 0 {
        return Err("no package has a benchmark".to_owned());
    }
    println!("\nEach estimate: {}", workspace.target_folder.join("criterion").display());
    println!("The table to compare with: docs/performance.md");
    Ok(())
}
