//! `cargo xtask tidy`: the rules of the house that no other tool checks. They are a test too.

use std::path::Path;

use crate::metadata::{self, Workspace};
use crate::tree::{self, File};
use crate::{conformance_rules, docs_rules, layers, layout_rules, run, source_rules, variable_rules};

/// Says what breaks a rule, one line each, and fails if anything does.
pub(crate) fn run() -> Result<(), String> {
    let workspace = metadata::load()?;
    let files = tree::load()?;
    let findings = check(&workspace, &files, &run::root());
    if findings.is_empty() {
        println!("{} files keep the rules of the house", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(format!("{} places break the rules of the house", findings.len()))
}

/// What breaks a rule: `path:line: what it is and what to do`.
fn check(workspace: &Workspace, files: &[File], root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    findings.extend(layers::edges(workspace));
    findings.extend(layers::dev_dependency_versions(workspace));
    findings.extend(layers::backend_places(workspace, files));
    findings.extend(layout_rules::root_entries(files));
    findings.extend(layout_rules::file_names(files));
    findings.extend(layout_rules::file_lengths(files));
    findings.extend(layout_rules::inherited_lints(workspace, files));
    findings.extend(layout_rules::machine_paths(files, &layout_rules::paths_of_this_machine(root)));
    findings.extend(layout_rules::registry_hosts(files));
    findings.extend(source_rules::module_docs(files));
    findings.extend(source_rules::unfinished_work(files));
    findings.extend(source_rules::ignored_tests(files));
    findings.extend(source_rules::sleeping_tests(files));
    findings.extend(source_rules::empty_names(files));
    findings.extend(docs_rules::links(files));
    findings.extend(docs_rules::skipped_examples(files));
    findings.extend(docs_rules::console_examples(files));
    findings.extend(conformance_rules::tables(files));
    findings.extend(variable_rules::documented_variables(files));
    findings.extend(variable_rules::example_environment(files));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_keeps_the_rules() {
        let findings = check(&metadata::load().unwrap(), &tree::load().unwrap(), &run::root());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
