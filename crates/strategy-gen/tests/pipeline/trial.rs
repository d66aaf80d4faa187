//! A program in the sandbox and what it tells: the escapes are tried with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyrot_test_servers::tool;
use strategy_gen::{Ended, Isolation, Program, Sandbox};
use tempfile::TempDir;

use crate::sandboxed::sandbox;

/// Tells a copy of this test that it is one, and which interpreter to take.
pub(crate) const PYTHON: &str = "STRATEGY_GEN_TEST_PYTHON";

/// An interpreter that every user may execute.
pub(crate) fn python() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "how a copy of this test knows, which may not look itself")]
    if let Some(known) = std::env::var_os(PYTHON) {
        return known.into();
    }
    let own = tool("python").canonicalize().expect("it is there");
    let system = Path::new("/usr/bin/python3").canonicalize();
    let for_all = |path: &Path| {
        path.ancestors().all(|part| part.metadata().is_ok_and(|part| part.permissions().mode() & 0o5 == 0o5))
    };
    [Some(own), system.ok()]
        .into_iter()
        .flatten()
        .find(|python| for_all(python))
        .expect("a Python that every user may execute: the one of the tools, or /usr/bin/python3")
}

/// What is tried. The last line of the output is the answer: `stopped: ...`, or what was reached.
pub(crate) struct Trial {
    pub(crate) folder: TempDir,
    pub(crate) sandbox: Sandbox,
}

impl Trial {
    pub(crate) fn new(isolation: Isolation) -> Self {
        let mut sandbox = sandbox();
        sandbox.isolation = isolation;
        sandbox.limits.cpu = Duration::from_secs(5);
        Self { folder: TempDir::new().expect("a folder"), sandbox }
    }

    pub(crate) fn program(&self, script: &str) -> Program {
        let python = python();
        let folder = self.folder.path();
        fs::write(folder.join("script.py"), script).expect("it can be written");
        fs::create_dir_all(folder.join("scratch")).expect("it can be made");
        let base = python.parent().and_then(Path::parent).expect("an installation");
        Program {
            program: python.clone(),
            arguments: vec!["-I".to_owned(), "-B".to_owned(), folder.join("script.py").display().to_string()],
            environment: Vec::new(),
            read: vec![base.join("lib"), folder.to_owned()],
            execute: vec![python],
            scratch: folder.join("scratch"),
        }
    }

    pub(crate) async fn run(&self, script: &str) -> Ended {
        self.sandbox.run(&self.program(script)).await.expect("this machine can isolate")
    }

    /// What the script tells last.
    pub(crate) async fn tells(&self, script: &str) -> String {
        let ended = self.run(script).await;
        let output = String::from_utf8_lossy(&ended.output).into_owned();
        let last = output.lines().last().map(str::to_owned);
        last.unwrap_or_else(|| panic!("{script}\n{:?}\n{}", ended.status, ended.complaint))
    }

    /// One attempt: an expression in Python that must raise an `OSError`, `MemoryError` or `ValueError`.
    pub(crate) async fn stops(&self, imports: &str, attempt: &str) -> String {
        let script = format!(
            "import {imports}\ntry:\n    print('reached', ascii({attempt})[:300])\nexcept (OSError, MemoryError, ValueError) as \
             error:\n    print('stopped:', type(error).__name__, error)\n"
        );
        let told = self.tells(&script).await;
        assert!(told.starts_with("stopped: "), "{:?} {attempt}: {told}", self.sandbox.isolation);
        told
    }
}
