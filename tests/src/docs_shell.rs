//! A folder as a newcomer has it, with a shell that reaches the command and a simulated Gemini, and nothing else of
//! this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gemini_sim::{Config, Project, SimServer};
use tempfile::TempDir;

use crate::docs::root;

/// The secrets of the guide; what the simulator accepts.
pub const SECRETS: [&str; 3] = ["your-api-key-here", "your-api-key-1", "your-api-key-2"];

/// The key that the documentation rotates in.
const NEW_SECRET: &str = "your-new-api-key";

/// The block of the guide's second step.
pub const ENV_BLOCK: &str = "\
ENABLE_KEY_ROTATION=true
SECRET_STORE_TYPE=env
GEMINI_KEY_flash_01=your-api-key-1
GEMINI_KEY_flash_02=your-api-key-2
";

/// Stands for cargo: the aliases of the project without a build.
const CARGO: &str = r#"#!/bin/sh
task="$1"; shift
case "$task" in
keyrot) exec keyrot "$@" ;;
xtask) grep -q "^  $1 " "$PROJECT/xtask/src/main.rs" || { echo "there is no task $1" >&2; exit 2; } ;;
*) echo "cargo $task is not run here: fence it as console" >&2; exit 2 ;;
esac
"#;

/// See the module.
#[derive(Debug)]
pub struct Shell {
    folder: TempDir,
    base_url: String,
}

/// A simulator with the projects of keys_example.json and one for the single key.
///
/// # Panics
/// If it cannot start.
pub async fn simulator() -> SimServer {
    let [single, first, second] = SECRETS;
    let project = |id: &str, secret: &str| Project::new(id).key(id, secret);
    let config = Config::default()
        .project(project("single", single))
        .project(project("flash_01", first).key("new", NEW_SECRET))
        .project(project("flash_02", second));
    SimServer::start(config).await.expect("a loopback port")
}

impl Shell {
    /// An empty folder with the files of the project that the documentation names, and a repository around it.
    ///
    /// # Panics
    /// If the folder cannot be made, or the command was not built.
    pub fn new(base_url: String) -> Self {
        let shell = Self { folder: TempDir::new().expect("a temporary folder"), base_url };
        for name in ["keys_example.json", ".env.example", ".gitignore"] {
            fs::copy(root().join(name), shell.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        fs::create_dir(shell.path("bin")).expect("a writable folder");
        fs::copy(command(), shell.path("bin/keyrot")).expect("a copy of the command");
        shell.write("bin/cargo", CARGO);
        let made = shell.bash("chmod +x bin/cargo && git init --quiet");
        assert!(made.status.success(), "{}", text(&made.stderr));
        shell
    }

    /// The same as the quick start for several keys leaves it.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn set_up(base_url: String) -> Self {
        let shell = Self::new(base_url);
        fs::copy(shell.path("keys_example.json"), shell.path("keys.json")).expect("a copy");
        shell.write(".env", ENV_BLOCK);
        shell
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Runs a script until its first failure.
    ///
    /// # Panics
    /// If there is no bash.
    pub fn bash(&self, script: &str) -> Output {
        let mut command = self.command("bash");
        command.args(["-euo", "pipefail", "-c", script]).output().expect("bash is there")
    }

    /// Runs the command with these words, and more variables.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn keyrot(&self, words: &[&str], vars: &[(&str, &str)]) -> Output {
        let mut command = self.command(self.path("bin/keyrot"));
        command.args(words).envs(vars.iter().copied()).output().expect("the command starts")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.folder.path())
            .env("PROJECT", root())
            .env("REDIS_URL", "")
            .env("GOOGLE_GEMINI_BASE_URL", &self.base_url);
        command
    }
}

/// What a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command, which lies beside the folder of the tests; every test run of the whole workspace builds it.
///
/// # Panics
/// If it was not built.
pub fn command() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let command = profile.join(format!("keyrot{}", std::env::consts::EXE_SUFFIX));
    assert!(command.exists(), "build the command first: cargo build --package keyrot-cli");
    command
}
