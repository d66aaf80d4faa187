//! Changes one variable of a `.env` file and leaves everything else as it is written.

use crate::dotenv::{Assignment, assignments, is_name};
use crate::error::ConfigError;

/// The text of a `.env` file in which `name` has this value: where it stands already, its value is replaced (of
/// several lines with one name the last, which is the one that counts), else a line is added at the end. Comments,
/// order, `export`, line ends and all other lines stay. [`parse_dotenv`](crate::parse_dotenv) reads the value back;
/// it is in quotes if it needs them.
///
/// ```
/// let text = "# mine\nGEMINI_KEY_a=old # of May\nB=2\n";
/// let text = keyrot_core::set_in_dotenv(text, "GEMINI_KEY_a", "AIzaNew").unwrap();
/// assert_eq!(text, "# mine\nGEMINI_KEY_a=AIzaNew # of May\nB=2\n");
/// ```
///
/// # Errors
/// Each line that cannot be read, by its number, never its content; a name that no such file can hold.
pub fn set_in_dotenv(text: &str, name: &str, value: &str) -> Result<String, ConfigError> {
    if !is_name(name) {
        return Err(ConfigError::bad_value(
            "the name of the variable",
            name,
            "A-Z a-z 0-9 _ . - and no digit first",
        ));
    }
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let last = assignments(text)?.into_iter().rfind(|assignment| assignment.name == name);
    Ok(match last {
        Some(Assignment { written: place, .. }) => {
            let after = &text[place.end..];
            // a comment may touch a closing quote, not a bare value
            let written = quoted(value, after.starts_with('#'));
            format!("{}{written}{after}", &text[..place.start])
        }
        None => {
            let begin = if text.is_empty() || text.ends_with('\n') { "" } else { line_end };
            format!("{text}{begin}{name}={}{line_end}", quoted(value, false))
        }
    })
}

/// As shells and other readers of such files understand it too: bare if it may be, else in single quotes, else with
/// escapes.
fn quoted(value: &str, always: bool) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./+=:,@%".contains(c);
    if !always && !value.is_empty() && value.chars().all(bare) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let mut escaped = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '"' | '\\' | '$' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dotenv::parse_dotenv;

    fn set(text: &str, value: &str) -> String {
        set_in_dotenv(text, "K", value).unwrap()
    }

    #[test]
    fn only_the_value_changes_wherever_it_stands() {
        for (before, after) in [
            ("", "K=v\n"),
            ("A=1", "A=1\nK=v\n"),
            ("A=1\r\n", "A=1\r\nK=v\r\n"),
            ("K=old", "K=v"),
            ("K=\n", "K=v\n"),
            ("K= # why\n", "K=v # why\n"),
            ("# K=no\n  export K = old  # why\nB='2\n3'\n", "# K=no\n  export K = v  # why\nB='2\n3'\n"),
            ("K=\"two\nlines\" # why\r\nA=1", "K=v # why\r\nA=1"),
            ("K='a'#b\n", "K='v'#b\n"),
            ("K='a'\nB=K=1\nK=\"b\"\nKK=2", "K='a'\nB=K=1\nK=v\nKK=2"),
            ("\u{feff}K=old\r\nA=1\r\n", "\u{feff}K=v\r\nA=1\r\n"),
            ("K= \u{a0}old\u{a0} # why\n", "K= v\u{a0} # why\n"),
        ] {
            assert_eq!(set(before, "v"), after, "{before:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_whatever_it_holds() {
        for value in ["", "AIzaSy-_x", "a b", "#x", "a #b", "it's", "$HOME\\n'", "\"'\n\r\n\t'", "ключ", "'"]
        {
            let text = set("A=1\n", value);
            assert_eq!(parse_dotenv(&text).unwrap().raw("K").unwrap(), value.trim(), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_written_and_not_shown() {
        let error = set_in_dotenv("A=1\nSECRET\n", "K", "v").unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && !error.contains("SECRET"), "{error}");
        for name in ["", "1K", "A B", "A=B", "A\nB"] {
            set_in_dotenv("", name, "v").unwrap_err();
        }
    }
}
