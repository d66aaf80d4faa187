//! Configuration variables as a value: a snapshot of the process environment over a `.env` file.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::ConfigError;

/// Names and values. Values may be secrets: `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Vars {
    values: BTreeMap<String, String>,
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Vars {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self { values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl Vars {
    /// These variables, and for those that are missing here the ones of `below`.
    #[must_use]
    pub fn over(mut self, below: Self) -> Self {
        for (name, value) in below.values {
            self.values.entry(name).or_insert(value);
        }
        self
    }

    /// The value without white space around it; `None` if it is missing or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// As [`text`](Self::text), but an empty value is `Some("")`: for the few variables where
    /// setting them to nothing means something.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim())
    }

    /// `true/1/yes/on` and `false/0/no/off`, any case; missing or empty is false.
    pub fn flag(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.text(name).unwrap_or("").to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" | "" => Ok(false),
            _ => Err(ConfigError::bad_value(name, self.text(name).unwrap_or(""), "true or false")),
        }
    }

    /// A duration: a number of seconds, or with a unit (`500ms`, `30s`, `5m`, `1h`).
    pub fn duration(&self, name: &'static str) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse_duration(text).map(Some).ok_or_else(|| {
            ConfigError::bad_value(
                name,
                text,
                "a duration such as 30, 30s, 500ms, 5m or 1h, at most 10 years",
            )
        })
    }

    /// All names that begin with `prefix`.
    pub fn names_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }
}

/// `30`, `30s`, `1.5s`, `500ms`, `5m`, `1h`, `1d`; `None` for anything else, negative or absurd.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * unit_seconds;
    (seconds <= 10.0 * 366.0 * 86_400.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_the_usual_words_and_name_the_variable_otherwise() {
        for (text, value) in
            [("TRUE", true), ("1", true), ("on", true), ("No", false), ("", false), (" 0 ", false)]
        {
            assert_eq!(Vars::from_iter([("F", text)]).flag("F").unwrap(), value, "{text:?}");
        }
        assert!(!Vars::default().flag("F").unwrap());
        let error = Vars::from_iter([("F", "maybe")]).flag("F").unwrap_err().to_string();
        assert!(error.contains('F') && error.contains("maybe") && error.contains("true or false"), "{error}");
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("30", 30_000), ("1.5s", 1500), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1x", "1e9", "99999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn process_variables_win_and_debug_hides_values() {
        let vars = Vars::from_iter([("A", "process")]).over(Vars::from_iter([("A", "file"), ("B", "file")]));
        assert_eq!(vars.text("A"), Some("process"));
        assert_eq!(vars.text("B"), Some("file"));
        assert_eq!(format!("{vars:?}"), r#"{"A", "B"}"#);
    }
}
