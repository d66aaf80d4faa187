//! Reading a configuration: every problem is named at once.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use crate::config::Config;
use crate::fault::Fault;
use crate::latency::Latency;
use crate::window::{MINUTE_MS, Window};

/// A configuration that cannot be used: all problems, one a line. Names fields and ids, never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// What is wrong, in the order of the file.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl Error for ConfigError {}

impl Config {
    /// Reads a JSON configuration and checks it.
    ///
    /// # Errors
    /// If the text is not JSON, a field is unknown or of the wrong type, or [`Config::check`] finds a problem.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text)
            .map_err(|error| ConfigError { problems: vec![without_values(&error.to_string())] })?;
        config.check()?;
        Ok(config)
    }

    /// Looks for contradictions.
    ///
    /// # Errors
    /// If an id or a secret is used twice, a name points nowhere, or a number is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.check_models(&mut problems);
        self.check_projects(&mut problems);
        for (name, latency) in [
            ("latency", self.latency),
            ("refusal_latency", self.refusal_latency),
            ("chunk_latency", self.chunk_latency),
        ] {
            check_latency(name, latency, &mut problems);
        }
        check_window("window", self.window, &mut problems);
        for (index, fault) in self.faults.iter().enumerate() {
            problems.extend(
                self.check_fault(fault).into_iter().map(|problem| format!("faults[{index}]: {problem}")),
            );
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    /// What is wrong with a fault: filters that match nothing, numbers out of range.
    pub(crate) fn check_fault(&self, fault: &Fault) -> Vec<String> {
        let mut problems = fault.problems();
        let keys = self.projects.iter().flat_map(|project| &project.keys);
        if let Some(key) = &fault.key
            && !keys.clone().any(|known| known.id == *key)
        {
            problems.push(format!("key {key:?} is no key of this configuration"));
        }
        if let Some(id) = &fault.project
            && !self.projects.iter().any(|known| known.id == *id)
        {
            problems.push(format!("project {id:?} is no project of this configuration"));
        }
        if let Some(model) = &fault.model
            && !self.is_model(model)
            && !self.aliases.contains_key(model)
        {
            problems.push(format!("model {model:?} is neither in models nor in aliases"));
        }
        problems
    }

    fn is_model(&self, name: &str) -> bool {
        self.models.iter().any(|model| model.name == name)
    }

    fn check_models(&self, problems: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for model in &self.models {
            if !seen.insert(&model.name) {
                problems.push(format!("models: {:?} is listed twice", model.name));
            }
        }
        for (alias, target) in &self.aliases {
            if !self.is_model(target) {
                problems.push(format!("aliases: {alias:?} points to {target:?}, which is not in models"));
            }
            if self.is_model(alias) {
                problems.push(format!("aliases: {alias:?} is also in models; remove one of the two"));
            }
        }
    }

    fn check_projects(&self, problems: &mut Vec<String>) {
        let (mut projects, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let mut secrets = BTreeMap::new();
        for project in &self.projects {
            let id = &project.id;
            if !projects.insert(id) {
                problems.push(format!("projects: id {id:?} is used twice"));
            }
            for key in &project.keys {
                if !keys.insert(&key.id) {
                    problems.push(format!("project {id:?}: key id {:?} is used twice", key.id));
                }
                if key.secret.0.trim().is_empty() {
                    problems.push(format!("project {id:?}: the secret of key {:?} is empty", key.id));
                } else if let Some(other) = secrets.insert(&key.secret.0, &key.id) {
                    problems.push(format!(
                        "project {id:?}: keys {other:?} and {:?} have the same secret",
                        key.id
                    ));
                }
            }
            for model in project.limits.keys().filter(|name| *name != "*" && !self.is_model(name)) {
                let hint = match self.aliases.get(model) {
                    Some(target) => format!("is an alias; set the limits of {target:?}"),
                    None => "is not in models".to_owned(),
                };
                problems.push(format!("project {id:?}: limits: {model:?} {hint}"));
            }
            if let Some(window) = project.window {
                check_window(&format!("project {id:?}: window"), window, problems);
            }
        }
    }
}

fn check_window(name: &str, window: Window, problems: &mut Vec<String>) {
    match window {
        Window::Fixed { phase_ms } if phase_ms >= MINUTE_MS => {
            problems.push(format!("{name}: phase_ms is {phase_ms}, allowed is 0 to 59999"));
        }
        Window::Bucket { burst } if !(burst > 0.0 && burst <= 1_000.0) => {
            problems.push(format!("{name}: burst is {burst}, allowed is more than 0 up to 1000"));
        }
        _ => {}
    }
}

fn check_latency(name: &str, latency: Latency, problems: &mut Vec<String>) {
    if let Some(problem) = latency.problem() {
        problems.push(format!("{name}: {problem}"));
    }
}

/// serde quotes the value that it did not like, and that may be a secret in the wrong place.
fn without_values(message: &str) -> String {
    let (Some(start), Some(end)) = (message.find("invalid "), message.rfind(", expected ")) else {
        return message.to_owned();
    };
    let quoted = message[start..end].find(['"', '`']).map_or(end, |at| start + at);
    format!("{}{}", message[..quoted].trim_end(), &message[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        Config::from_json(json).unwrap_err().problems().to_vec()
    }

    #[test]
    fn a_full_file_is_read() {
        let config = Config::from_json(
            r#"{"projects": [{"id": "p", "number": 7, "tier": "paid", "keys": [{"id": "k", "secret": "s"}],
                 "limits": {"gemini-3.8-flash": {"rpm": 2, "tpm": 1000, "rpd": 9}, "*": {"rpm": 5}},
                 "window": {"type": "bucket", "burst": 0.5}}],
               "window": {"type": "fixed", "phase_ms": 250}, "latency": {"type": "lognormal", "median_ms": 80, "sigma": 0.6},
               "faults": [{"kind": {"quota": {"retry_after_s": 30}}, "key": "k", "from_ms": 1000, "times": 2},
                          {"kind": "overloaded", "model": "gemini-flash-latest", "probability": 0.5}]}"#,
        )
        .unwrap();
        assert_eq!(config.projects[0].limits["*"].rpm, Some(5));
        assert_eq!(config.window, Window::Fixed { phase_ms: 250 });
        assert_eq!(config.faults.len(), 2);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let found = problems(
            r#"{"projects": [{"id": "p", "keys": [{"id": "k", "secret": "same"}, {"id": "k", "secret": "same"}],
                 "limits": {"gemini-9": {}, "gemini-flash-latest": {}}}, {"id": "p", "keys": [{"id": "l", "secret": " "}]}],
               "window": {"type": "fixed", "phase_ms": 60000}, "latency": {"type": "uniform", "min_ms": 9, "max_ms": 3},
               "faults": [{"kind": "cut", "key": "nobody", "probability": 1.5}]}"#,
        );
        let expected = [
            "project \"p\": key id \"k\" is used twice",
            "keys \"k\" and \"k\" have the same secret",
            "\"gemini-9\" is not in models",
            "is an alias; set the limits of \"gemini-3.8-flash\"",
            "id \"p\" is used twice",
            "secret of key \"l\" is empty",
            "phase_ms is 60000",
            "latency: min_ms 9 is more than max_ms 3",
            "faults[0]: key \"nobody\"",
            "faults[0]: probability is 1.5",
        ];
        for text in expected {
            assert!(found.iter().any(|problem| problem.contains(text)), "{text} is missing in {found:#?}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_and_line() {
        let found = problems("{\n \"project\": []}");
        assert!(found[0].contains("unknown field `project`") && found[0].contains("line 2"), "{found:?}");
    }

    #[test]
    fn neither_debug_nor_errors_show_a_secret() {
        let config =
            Config::from_json(r#"{"projects": [{"id": "p", "keys": [{"id": "k", "secret": "sentinel"}]}]}"#);
        assert!(!format!("{:?}", config.unwrap()).contains("sentinel"));
        for misplaced in [
            r#"{"projects": "sentinel"}"#,
            r#"{"projects": [{"id": "p", "keys": "sentinel"}]}"#,
            r#"{"projects": [{"id": "p", "keys": ["my sentinel"]}]}"#,
            r#"{"projects": [{"id": "p", "keys": [{"id": "k", "secret": "sentinel"}, {"id": "l", "secret": "sentinel"}]}]}"#,
        ] {
            let error = Config::from_json(misplaced).unwrap_err().to_string();
            assert!(!error.contains("sentinel"), "{error}");
        }
    }
}
