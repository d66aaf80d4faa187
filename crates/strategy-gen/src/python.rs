//! A Python environment with backtesting.py in it: what has to be readable for it to run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::runner::CannotRun;

/// The version of backtesting.py that strategies are written for and run with.
pub const BACKTESTING_VERSION: &str = "0.6.6";

/// An environment as `venv` makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonEnvironment {
    folder: PathBuf,
    /// As the environment names it: so Python finds the environment.
    python: PathBuf,
    /// What that is in truth.
    program: PathBuf,
}

impl PythonEnvironment {
    /// The environment in this folder. Runs nothing.
    pub fn at(folder: &Path) -> Result<Self, CannotRun> {
        let missing = |what: String| CannotRun::NoPython(format!("{what} in {}", folder.display()));
        let python = folder.join("bin").join("python");
        let program = python.canonicalize().map_err(|_| missing("there is no bin/python".to_owned()))?;
        let name = format!("backtesting-{BACKTESTING_VERSION}.dist-info");
        let has = |lib: fs::DirEntry| lib.path().join("site-packages").join(&name).exists();
        let libs = fs::read_dir(folder.join("lib")).into_iter().flatten().flatten();
        if !libs.into_iter().any(has) {
            return Err(missing(format!("there is no backtesting {BACKTESTING_VERSION}")));
        }
        Ok(Self { folder: folder.to_owned(), python, program })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its interpreter.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The file that is executed, and folders that it reads: the environment, and the installation it was made from.
    pub(crate) fn files(&self) -> (PathBuf, Vec<PathBuf>) {
        let mut read = vec![self.folder.clone()];
        if let Some(base) = self.program.parent().and_then(Path::parent) {
            read.extend(["lib", "lib64"].map(|lib| base.join(lib)));
        }
        (self.program.clone(), read)
    }
}
