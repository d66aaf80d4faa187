//! Can this machine lock a strategy in? Asked without running one.

use std::path::PathBuf;

use crate::run_folder::RunFolder;
use crate::runner::CannotRun;
use crate::sandbox::{Program, Sandbox};

impl Sandbox {
    /// Puts the sandbox on a process that then has nothing to run.
    ///
    /// # Errors
    /// [`CannotRun::NoIsolation`] says what this machine lacks.
    pub async fn check(&self) -> Result<(), CannotRun> {
        let folder = RunFolder::new().map_err(|error| CannotRun::Broken(error.to_string()))?;
        let nothing = Program {
            program: PathBuf::from("/"),
            arguments: Vec::new(),
            environment: Vec::new(),
            read: Vec::new(),
            execute: Vec::new(),
            scratch: folder.path().to_owned(),
        };
        self.run(&nothing).await.map(drop)
    }
}
