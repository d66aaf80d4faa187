//! Rules about the packages: who may depend on whom, and where a backend is named.

use crate::metadata::Workspace;
use crate::tree::{self, File};

/// Where a package stands; docs/ARCHITECTURE.md draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// keyrot-core: nothing of ours.
    Core,
    /// Secret stores, limiters and the Gemini client: the core only.
    Backend,
    /// strategy-gen: the core and the Gemini client.
    Generator,
    /// keyrot: everything below, by feature.
    Facade,
    /// Commands and servers: everything below.
    Program,
    /// keyrot-e2e: everything.
    SystemTests,
    /// keyrot-testkit: the core; others use it in tests only.
    Testkit,
    /// gemini-sim: nothing of ours; used by programs and in tests.
    Simulator,
    /// keyrot-test-servers: nothing of ours; others use it in tests only.
    TestServers,
    /// xtask: nothing of ours, so that it builds at once and while a crate is broken.
    Tasks,
}

fn layer(package: &str) -> Option<Layer> {
    Some(match package {
        "keyrot-core" => Layer::Core,
        "keyrot-gemini" => Layer::Backend,
        "strategy-gen" => Layer::Generator,
        "keyrot" => Layer::Facade,
        "keyrot-cli" | "keyrot-gateway" => Layer::Program,
        "keyrot-e2e" => Layer::SystemTests,
        "keyrot-testkit" => Layer::Testkit,
        "gemini-sim" => Layer::Simulator,
        "keyrot-test-servers" => Layer::TestServers,
        "xtask" => Layer::Tasks,
        name if is_backend(name) => Layer::Backend,
        _ => return None,
    })
}

fn is_backend(package: &str) -> bool {
    package.starts_with("keyrot-secrets-") || package.starts_with("keyrot-ratelimit-")
}

fn may_use(from: Layer, to: Layer, to_name: &str, dev: bool) -> bool {
    if dev && matches!(to, Layer::Testkit | Layer::Simulator | Layer::TestServers) {
        return from != Layer::Tasks;
    }
    match from {
        Layer::Core | Layer::Simulator | Layer::TestServers | Layer::Tasks => false,
        Layer::Backend | Layer::Testkit => to == Layer::Core,
        Layer::Generator => to == Layer::Core || to_name == "keyrot-gemini",
        Layer::Facade => matches!(to, Layer::Core | Layer::Backend | Layer::Generator),
        Layer::Program => {
            matches!(to, Layer::Core | Layer::Backend | Layer::Generator | Layer::Facade | Layer::Simulator)
        }
        Layer::SystemTests => to != Layer::Tasks,
    }
}

/// Every dependency between our packages goes down the layers.
pub(crate) fn edges(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let Some(from) = layer(&package.name) else {
            findings.push(format!(
                "{}: `{}` has no layer; give it one in xtask/src/layers.rs and in docs/ARCHITECTURE.md",
                package.manifest, package.name
            ));
            continue;
        };
        for edge in &package.internal {
            let allowed = layer(&edge.name).is_none_or(|to| may_use(from, to, &edge.name, edge.dev));
            if !allowed {
                findings.push(format!(
                    "{}: `{}` ({from:?}) may not depend on `{}`{}",
                    package.manifest,
                    package.name,
                    edge.name,
                    if edge.dev { " even in tests" } else { "" },
                ));
            }
        }
    }
    findings
}

/// A dev-dependency with a version would have to be published first: two such packages could never be.
pub(crate) fn dev_dependency_versions(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        for edge in package.internal.iter().filter(|edge| edge.dev && edge.requirement != "*") {
            findings.push(format!(
                "{}: the dev-dependency `{}` carries the version `{}`; leave it out, the path is enough",
                package.manifest, edge.name, edge.requirement
            ));
        }
    }
    findings
}

/// A backend is named in the workspace manifest, in the facade's manifest and source, and in docs/backends.md.
pub(crate) fn backend_places(workspace: &Workspace, files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in workspace.packages.iter().filter(|package| is_backend(&package.name)) {
        let name = &package.name;
        let feature = name.trim_start_matches("keyrot-");
        let module = feature.replace('-', "_");
        let places = [
            ("Cargo.toml", format!("{name} = {{")),
            ("crates/keyrot/Cargo.toml", format!("{name} = {{")),
            ("crates/keyrot/Cargo.toml", format!("{feature} = [\"dep:{name}\"")),
            ("crates/keyrot/src/lib.rs", format!("pub use keyrot_{module} as {module};")),
            ("docs/backends.md", format!("| `{feature}` |")),
        ];
        for (path, expected) in places {
            // A document that the project does not have yet cannot lack a row.
            let lacks = tree::find(files, path).is_some_and(|file| !file.text.contains(&expected));
            if lacks {
                findings.push(format!("{path}: `{name}` needs a line with `{expected}`"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Package};

    fn workspace(name: &str, dependency: &str, dev: bool, requirement: &str) -> Workspace {
        let package = |name: &str, internal| Package {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            features: Vec::new(),
            benches: Vec::new(),
            internal,
        };
        let edge = Dependency { name: dependency.to_owned(), dev, requirement: requirement.to_owned() };
        Workspace { packages: vec![package(name, vec![edge])], target_folder: "target".into() }
    }

    fn allowed(from: &str, to: &str, dev: bool) -> bool {
        edges(&workspace(from, to, dev, "*")).is_empty()
    }

    #[test]
    fn dependencies_go_down_the_layers_only() {
        for (from, to) in [
            ("keyrot-gemini", "keyrot-core"),
            ("keyrot-secrets-env", "keyrot-core"),
            ("strategy-gen", "keyrot-gemini"),
            ("keyrot", "keyrot-ratelimit-redis"),
            ("keyrot", "strategy-gen"),
            ("keyrot-cli", "gemini-sim"),
            ("keyrot-e2e", "keyrot-testkit"),
            ("keyrot-testkit", "keyrot-core"),
        ] {
            assert!(allowed(from, to, false), "{from} -> {to}");
        }
        for (from, to) in [
            ("keyrot-core", "keyrot-gemini"),
            ("keyrot-secrets-env", "keyrot-gemini"),
            ("keyrot-secrets-vault", "keyrot-secrets-env"),
            ("strategy-gen", "keyrot-secrets-env"),
            ("strategy-gen", "keyrot"),
            ("keyrot", "gemini-sim"),
            ("keyrot", "keyrot-cli"),
            ("keyrot-cli", "keyrot-testkit"),
            ("gemini-sim", "keyrot-core"),
            ("keyrot-test-servers", "keyrot-core"),
            ("keyrot-secrets-vault", "keyrot-test-servers"),
            ("xtask", "keyrot-core"),
        ] {
            assert!(!allowed(from, to, false), "{from} -> {to}");
        }
    }

    #[test]
    fn tests_may_use_the_testkit_the_simulator_the_servers_and_nothing_else_from_above() {
        assert!(allowed("keyrot-core", "keyrot-testkit", true));
        assert!(allowed("strategy-gen", "gemini-sim", true));
        assert!(allowed("keyrot-secrets-vault", "keyrot-test-servers", true));
        assert!(!allowed("keyrot-core", "keyrot-gemini", true));
    }

    #[test]
    fn a_package_without_a_layer_is_named() {
        let findings = edges(&workspace("keyrot-new", "keyrot-core", false, "*"));
        assert!(findings[0].contains("`keyrot-new` has no layer"), "{findings:?}");
    }

    #[test]
    fn a_version_is_refused_in_dev_dependencies_only() {
        assert_eq!(dev_dependency_versions(&workspace("keyrot", "keyrot-testkit", true, "^0.1")).len(), 1);
        assert!(dev_dependency_versions(&workspace("keyrot", "keyrot-testkit", true, "*")).is_empty());
        assert!(dev_dependency_versions(&workspace("keyrot", "keyrot-core", false, "^0.1")).is_empty());
    }

    #[test]
    fn a_backend_that_is_not_wired_is_told_every_missing_line() {
        let workspace = workspace("keyrot-secrets-vault", "keyrot-core", false, "*");
        let facade = "keyrot-secrets-vault = { workspace = true, optional = true }\n";
        let mut files = vec![
            tree::file("Cargo.toml", "keyrot-secrets-vault = { path = \"x\" }"),
            tree::file("crates/keyrot/Cargo.toml", facade),
            tree::file("crates/keyrot/src/lib.rs", ""),
        ];
        let findings = backend_places(&workspace, &files).join("\n");
        assert!(findings.contains("secrets-vault = [\"dep:keyrot-secrets-vault\""), "{findings}");
        assert!(findings.contains("pub use keyrot_secrets_vault as secrets_vault;"), "{findings}");
        assert_eq!(findings.lines().count(), 2);

        files[1].text.push_str("secrets-vault = [\"dep:keyrot-secrets-vault\"]");
        files[2].text.push_str("pub use keyrot_secrets_vault as secrets_vault;");
        assert!(backend_places(&workspace, &files).is_empty());
        files.push(tree::file("docs/backends.md", "# Backends"));
        assert_eq!(backend_places(&workspace, &files).len(), 1);
    }
}
