//! A folder to run the command in, and what it said.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use gemini_sim::{Config, Project, SimServer};
use serde_json::Value;

/// keys.json as the guide has it.
pub(crate) const EXAMPLE: &str = include_str!("../../../../keys_example.json");

/// A folder and the variables of the process.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Calls go to this simulator.
    pub(crate) fn at(self, server: &SimServer) -> Self {
        self.set("GOOGLE_GEMINI_BASE_URL", &server.base_url())
    }

    /// Rotation with the guide's keys, whose secrets are set.
    pub(crate) fn rotating() -> Self {
        Self::new()
            .file("keys.json", EXAMPLE)
            .set("ENABLE_KEY_ROTATION", "true")
            .set("GEMINI_KEY_flash_01", "secret-of-flash-01")
            .set("GEMINI_KEY_flash_02", "secret-of-flash-02")
    }

    /// With the Python environment of the tests where `keyrot python setup` would have made one.
    #[cfg(target_os = "linux")]
    pub(crate) fn with_python(self) -> Self {
        let folder = self.path("data/keyrot");
        std::fs::create_dir_all(&folder).unwrap();
        let python = keyrot_test_servers::tool("python");
        std::os::unix::fs::symlink(python.parent().unwrap().parent().unwrap(), folder.join("python"))
            .unwrap();
        let data = self.path("data").display().to_string();
        self.set("XDG_DATA_HOME", &data)
    }

    /// With a Python environment there that looks complete and has no packages: its interpreter is the one that the
    /// tests' was made from.
    #[cfg(target_os = "linux")]
    pub(crate) fn with_python_without_packages(self) -> Self {
        let folder = self.path("data/keyrot/python");
        std::fs::create_dir_all(folder.join("lib/python3/site-packages/backtesting-0.6.6.dist-info"))
            .unwrap();
        std::fs::create_dir(folder.join("bin")).unwrap();
        let base = keyrot_test_servers::tool("python").canonicalize().unwrap();
        std::os::unix::fs::symlink(base, folder.join("bin/python")).unwrap();
        let data = self.path("data").display().to_string();
        self.set("XDG_DATA_HOME", &data)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyrot"));
        command
            .args(arguments)
            .env_clear()
            .env("REDIS_URL", "")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    /// The command under way, with this on its standard input.
    pub(crate) fn start(&self, arguments: &[&str], input: &str) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        match child.stdin.take().unwrap().write_all(input.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {} // it has ended without reading all of it
            written => written.unwrap(),
        }
        child
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        self.start(arguments, input).wait_with_output().unwrap().into()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// The result of a run that ended with 0.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Ends with this code and says each of these words to people.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

/// A provider that knows the guide's keys and a single one, each in a project of its own.
pub(crate) fn provider() -> Config {
    Config::default()
        .latency(gemini_sim::Latency::ZERO)
        .project(Project::new("one").key("flash_01", "secret-of-flash-01"))
        .project(Project::new("two").key("flash_02", "secret-of-flash-02"))
        .project(Project::new("single").key("single", "secret-of-single"))
}

/// The provider on a port.
pub(crate) async fn serve(config: Config) -> SimServer {
    SimServer::start(config).await.unwrap()
}
