//! Where variables come from: the process, and below it a `.env` file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use keyrot_core::{ConfigError, Vars, parse_dotenv};

/// The file that is read when nothing names another one.
const DEFAULT_FILE: &str = ".env";

/// Variables of the process over those of a `.env` file. The process environment itself is never changed.
#[derive(Clone, Debug)]
pub struct Environment {
    process: Vars,
    file: Option<PathBuf>,
    vars: Vars,
}

impl Environment {
    /// The environment of this process, and the file as in [`new`](Self::new).
    ///
    /// # Errors
    /// As [`new`](Self::new); or a variable of ours that is not UTF-8.
    pub fn read(env_file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut pairs = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue }; // no variable of ours has such a name
            match value.into_string() {
                Ok(value) => pairs.push((name, value)),
                Err(_) if is_ours(&name) => problems.push(format!("{name} is not UTF-8; set it anew")),
                Err(_) => {}
            }
        }
        match ConfigError::of(problems) {
            Some(error) => Err(error),
            None => Self::new(Vars::from_iter(pairs), env_file),
        }
    }

    /// These variables over a file: `env_file`, else the one that `KEYROT_ENV_FILE` names, else `.env` of the
    /// working directory, which may be missing.
    ///
    /// # Errors
    /// A file that was named and is missing, one that cannot be read, and each bad line with its number.
    pub fn new(process: Vars, env_file: Option<&Path>) -> Result<Self, ConfigError> {
        let named = env_file.or_else(|| process.text("KEYROT_ENV_FILE").map(Path::new));
        let path = named.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
        let below = match fs::read_to_string(&path) {
            Ok(text) => parse_dotenv(&text).map_err(|error| error.in_file(&path))?,
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Vars::default(),
            Err(error) => return Err(ConfigError::file("read", &path, &error)),
        };
        Ok(Self { vars: process.clone().over(below), process, file: Some(path) })
    }

    /// These variables, no file.
    pub fn of(vars: Vars) -> Self {
        Self { vars: vars.clone(), process: vars, file: None }
    }

    /// All variables.
    pub fn vars(&self) -> &Vars {
        &self.vars
    }

    /// The variables of the process alone.
    pub fn process(&self) -> &Vars {
        &self.process
    }

    /// The file that is read, whether it exists or not.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

fn is_ours(name: &str) -> bool {
    ["KEYROT_", "GEMINI_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix))
        || ["ENABLE_KEY_ROTATION", "SECRET_STORE_TYPE", "REDIS_URL"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.env");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn the_process_wins_over_the_file() {
        let (_folder, path) = file("A=file\nB=file\nREDIS_URL=redis://file\n");
        let process = Vars::from_iter([("A", "process"), ("REDIS_URL", "")]);
        let environment = Environment::new(process, Some(&path)).unwrap();
        assert_eq!(environment.vars().text("A"), Some("process"));
        assert_eq!(environment.vars().text("B"), Some("file"));
        assert_eq!(environment.vars().text("REDIS_URL"), None, "set to nothing is set");
    }

    #[test]
    fn keyrot_env_file_names_the_file_and_an_argument_wins_over_it() {
        let (_first, named) = file("A=named");
        let (_second, argument) = file("A=argument");
        let process = Vars::from_iter([("KEYROT_ENV_FILE", named.to_str().unwrap())]);
        let from = |argument| {
            Environment::new(process.clone(), argument).unwrap().vars().text("A").map(str::to_owned)
        };
        assert_eq!(from(None).as_deref(), Some("named"));
        assert_eq!(from(Some(&*argument)).as_deref(), Some("argument"));
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let process = Vars::from_iter([("KEYROT_ENV_FILE", "no-such-folder/my.env")]);
        let error = Environment::new(process, None).unwrap_err().to_string();
        assert!(error.contains("cannot read no-such-folder/my.env"), "{error}");
    }

    #[test]
    fn bad_lines_are_named_with_file_and_number_and_never_shown() {
        let (_folder, path) = file("A=1\nSECRETLINE\n2SECRET=x\n");
        let error = Environment::new(Vars::default(), Some(&path)).unwrap_err();
        assert_eq!(error.problems().len(), 2);
        for (problem, line) in error.problems().iter().zip([2, 3]) {
            assert!(
                problem.contains(&format!("my.env: line {line}")) && !problem.contains("SECRET"),
                "{problem}"
            );
        }
    }
}
