//! What cargo knows of the packages of this workspace.

use serde_json::Value;

use crate::run;

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the workspace, with `/`.
    pub(crate) manifest: String,
    /// Sorted by name.
    pub(crate) features: Vec<String>,
    /// Names of the benchmark targets.
    pub(crate) benches: Vec<String>,
    /// Dependencies on other packages of the workspace.
    pub(crate) internal: Vec<Dependency>,
}

/// A dependency of one workspace package on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// True for `[dev-dependencies]`.
    pub(crate) dev: bool,
    /// The version requirement; `*` when none is written.
    pub(crate) requirement: String,
}

/// The workspace as `cargo metadata` tells it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_folder: std::path::PathBuf,
}

/// Asks cargo about this workspace.
pub(crate) fn load() -> Result<Workspace, String> {
    let json = run::output(&mut run::cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    parse(&json)
}

fn parse(json: &str) -> Result<Workspace, String> {
    let value: Value = serde_json::from_str(json)
        .map_err(|error| format!("cargo metadata printed something that is not JSON: {error}"))?;
    let root = text(&value, "workspace_root")?;
    let packages = list(&value, "packages")?;
    let names = packages.iter().map(|package| text(package, "name")).collect::<Result<Vec<_>, _>>()?;
    Ok(Workspace {
        packages: packages
            .iter()
            .map(|package| parse_package(package, root, &names))
            .collect::<Result<_, _>>()?,
        target_folder: text(&value, "target_directory")?.into(),
    })
}

fn parse_package(package: &Value, root: &str, names: &[&str]) -> Result<Package, String> {
    let mut internal = Vec::new();
    for dependency in list(package, "dependencies")? {
        let name = text(dependency, "name")?;
        if names.contains(&name) && dependency["path"].is_string() {
            internal.push(Dependency {
                name: name.to_owned(),
                dev: dependency["kind"] == "dev",
                requirement: text(dependency, "req")?.to_owned(),
            });
        }
    }
    let mut benches = Vec::new();
    for target in list(package, "targets")? {
        if list(target, "kind")?.iter().any(|kind| kind == "bench") {
            benches.push(text(target, "name")?.to_owned());
        }
    }
    let features = package["features"].as_object();
    let manifest = text(package, "manifest_path")?.replace('\\', "/");
    let root = format!("{}/", root.replace('\\', "/"));
    Ok(Package {
        name: text(package, "name")?.to_owned(),
        manifest: manifest.strip_prefix(&root).unwrap_or(&manifest).to_owned(),
        features: features.map(|map| map.keys().cloned().collect()).unwrap_or_default(),
        benches,
        internal,
    })
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value[field].as_str().ok_or_else(|| format!("cargo metadata has no text field `{field}`"))
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>, String> {
    value[field].as_array().ok_or_else(|| format!("cargo metadata has no list field `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_knows_its_packages_and_their_edges() {
        let workspace = load().unwrap();
        let facade = workspace.packages.iter().find(|package| package.name == "keyrot").unwrap();
        assert_eq!(facade.manifest, "crates/keyrot/Cargo.toml");
        assert!(facade.features.contains(&"secrets-env".to_owned()));
        assert!(facade.internal.iter().any(|edge| edge.name == "keyrot-core" && !edge.dev));
        assert!(!facade.internal.iter().any(|edge| edge.name == "tokio"));
    }

    #[test]
    fn another_format_is_an_error_that_names_the_field() {
        let error = parse(r#"{"packages": []}"#).unwrap_err();
        assert!(error.contains("`workspace_root`"), "{error}");
    }
}
