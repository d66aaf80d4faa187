//! `.env` files: text to variables, pure.
//!
//! Not the crate dotenvy: it substitutes `$NAME` from the process environment, which changes keys that
//! hold a `$`, and its errors print the content of the line, which may be a secret.

use std::ops::Range;

use crate::error::ConfigError;
use crate::vars::Vars;

/// Reads `NAME=value` lines.
///
/// A line may begin with `export`; a value may be in single quotes (taken as it is) or in double quotes
/// (`\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes, any other backslash is itself), and quoted values
/// may span lines. A `#` at the beginning of a line or after white space begins a comment. `$` is an
/// ordinary character. A byte order mark and CRLF are accepted; of two lines with one name the last wins.
///
/// # Errors
/// Names the number of each line that cannot be read, never its content.
///
/// ```
/// let vars = keyrot_core::parse_dotenv("export GEMINI_API_KEY='a$b' # mine\n").unwrap();
/// assert_eq!(vars.text("GEMINI_API_KEY"), Some("a$b"));
/// let error = keyrot_core::parse_dotenv("\noops").unwrap_err().to_string();
/// assert!(error.starts_with("line 2: ") && !error.contains("oops"));
/// ```
pub fn parse_dotenv(text: &str) -> Result<Vars, ConfigError> {
    assignments(text)
        .map(|found| Vars::from_iter(found.into_iter().map(|assignment| (assignment.name, assignment.value))))
}

/// A value and where it stands.
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The bytes of the value as it is written, quotes included.
    pub(crate) written: Range<usize>,
}

/// Every assignment in the order of the file.
pub(crate) fn assignments(text: &str) -> Result<Vec<Assignment>, ConfigError> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line_number = 1;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    while !rest.is_empty() {
        let before = rest;
        let begin = text.len() - rest.len();
        match assignment(rest) {
            Ok((assignment, after)) => {
                found.extend(assignment.map(|Assignment { name, value, written }| Assignment {
                    name,
                    value,
                    written: begin + written.start..begin + written.end,
                }));
                rest = after;
            }
            Err(problem) => {
                problems.push(format!("line {line_number}: {problem}"));
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
            }
        }
        line_number += before[..before.len() - rest.len()].matches('\n').count();
    }
    match ConfigError::of(problems) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// Reads one line, or more if a quoted value spans them; the assignment, if there is one, and what follows.
fn assignment(text: &str) -> Result<(Option<Assignment>, &str), &'static str> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let statement = line.trim();
    if statement.is_empty() || statement.starts_with('#') {
        return Ok((None, after));
    }
    let Some((left, _)) = line.split_once('=') else {
        return Err("not NAME=value (the line is not shown: it may hold a secret)");
    };
    let name = left.trim();
    let name = match name.strip_prefix("export") {
        Some(exported) if exported.starts_with([' ', '\t']) => exported.trim_start(),
        _ => name,
    };
    if !is_name(name) {
        return Err("what stands before '=' is not a name of letters, digits, '_', '.' and '-' that does \
                    not begin with a digit (the line is not shown: it may hold a secret)");
    }
    let begin = left.len() + 1;
    let start = text.len() - text[begin..].trim_start_matches([' ', '\t']).len();
    let (value, written, after) = match text.as_bytes().get(start) {
        Some(&quote @ (b'\'' | b'"')) => {
            let (value, length, after) = quoted(&text[start + 1..], char::from(quote))?;
            (value, start..start + length + 2, after)
        }
        _ => match unquoted(&line[begin..]) {
            "" => (String::new(), begin..begin, after),
            value => {
                // Other white space before a value is replaced with it: behind such, a quote opens nothing.
                let blank = line.len() - begin - line[begin..].trim_start().len();
                (value.to_owned(), start..begin + blank + value.len(), after)
            }
        },
    };
    Ok((Some(Assignment { name: name.to_owned(), value, written }), after))
}

pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn unquoted(line: &str) -> &str {
    let comment = line.char_indices().zip(line.chars().skip(1)).find_map(|((at, c), next)| {
        (c.is_whitespace() && next == '#').then_some(at) // `a#b` is a value, `a #b` has a comment
    });
    line[..comment.unwrap_or(line.len())].trim()
}

/// The value up to the closing quote, how long it is as written, and what follows the end of that line.
fn quoted(text: &str, quote: char) -> Result<(String, usize, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            let (tail, after) = text[at + 1..].split_once('\n').unwrap_or((&text[at + 1..], ""));
            let tail = tail.trim();
            return match tail.is_empty() || tail.starts_with('#') {
                true => Ok((value, at, after)),
                false => Err("more text follows the closing quote; allowed there: a comment"),
            };
        }
        if c == '\r' && text[at + 1..].starts_with('\n') {
            continue;
        }
        if c != '\\' || quote == '\'' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => value.push('\n'),
            Some((_, 'r')) => value.push('\r'),
            Some((_, 't')) => value.push('\t'),
            Some((_, escaped @ ('"' | '\\' | '$'))) => value.push(escaped),
            Some((_, other)) => value.extend(['\\', other]),
            None => break,
        }
    }
    Err("the quote that opens here is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        parse_dotenv(&format!("K={text}")).unwrap().raw("K").unwrap().to_owned()
    }

    #[test]
    fn values_in_every_writing() {
        for (text, expected) in [
            ("plain", "plain"),
            ("  spaced out  ", "spaced out"),
            ("a#b", "a#b"),
            ("a #b", "a"),
            (" # only a comment", ""),
            ("", ""),
            ("'single \\n $X'", "single \\n $X"),
            (r#""tab\t quote\" back\\ dollar\$ other\d""#, "tab\t quote\" back\\ dollar$ other\\d"),
            ("\"x\" # comment", "x"),
            ("$HOME/${X}", "$HOME/${X}"),
            ("a=b==", "a=b=="),
            ("it's", "it's"),
            ("ключ", "ключ"),
            ("\"one\r\ntwo\"", "one\ntwo"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_comments_blank_lines_export_crlf_and_bom() {
        let text = "\u{feff}# head\r\n\r\nexport A = 1\r\n  B=2 # two\nGEMINI_KEY_a-b.c=3\nexporter=4\nA=5";
        let vars = parse_dotenv(text).unwrap();
        for (name, value) in [("A", "5"), ("B", "2"), ("GEMINI_KEY_a-b.c", "3"), ("exporter", "4")] {
            assert_eq!(vars.raw(name), Some(value), "{name}");
        }
        assert_eq!(vars.names_with_prefix("").count(), 4);
    }

    #[test]
    fn each_bad_line_is_named_by_number_and_never_shown() {
        let text = "A='two\nlines'\nAIzaSECRET\n1SECRET=x\nB=\"SECRET\nC='x' SECRET\nD=ok";
        let error = parse_dotenv(text).unwrap_err();
        let lines: Vec<&str> = error.problems().iter().filter_map(|p| p.split(':').next()).collect();
        assert_eq!(lines, ["line 3", "line 4", "line 5", "line 6"]);
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}
