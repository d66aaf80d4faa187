//! The Python module out of a model's reply: structured, fenced, several fences, bare, cut off, prose around it.

use std::collections::BTreeMap;

use crate::fence::{Fence, fences};
use crate::structured::{Structured, read, read_fenced};
use crate::syntax::parse;

/// Code that was found in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extracted {
    /// The module, with `\n` at the ends of lines and no blank lines around it.
    pub code: String,
    /// The block that it came from was opened but never closed: the reply may be cut off.
    pub unclosed: bool,
    /// What the model says it has chosen where the request left it open; from a structured reply only.
    pub assumptions: Vec<String>,
    /// Class attributes and what the model says they mean; from a structured reply only.
    pub meanings: BTreeMap<String, String>,
}

impl Extracted {
    pub(crate) fn new(code: String, unclosed: bool) -> Self {
        Self { code, unclosed, assumptions: Vec::new(), meanings: BTreeMap::new() }
    }
}

/// Finds the module: the field `code` of a structured reply; else the block with a `Strategy` subclass, else the longest
/// block of Python, else the code of a reply without blocks. `None` if there is no code.
///
/// Takes any text and needs time in proportion to its length.
///
/// ```
/// let found = strategy_gen::extract("Here you are:\n```python\nimport numpy as np\n```\nGood luck!").unwrap();
/// assert_eq!(found.code, "import numpy as np");
/// ```
pub fn extract(reply: &str) -> Option<Extracted> {
    if let Some(structured) = read(reply) {
        return in_field(structured);
    }
    in_text(reply).or_else(|| in_field(read_fenced(&normalize(reply))?))
}

/// The field is the module as it stands; or a text around it, from a model that does not know better.
fn in_field(Structured { code, assumptions, meanings }: Structured) -> Option<Extracted> {
    let text = tidy(&normalize(&code));
    let found = match looks_like_code(&text) && parse(&text).is_ok() {
        true => Extracted::new(text, false),
        false => in_text(&code)?,
    };
    Some(Extracted { assumptions, meanings, ..found })
}

fn in_text(reply: &str) -> Option<Extracted> {
    let reply = normalize(reply);
    let fences = fences(&reply);
    let found = match best(&fences) {
        Some(fence) => Extracted::new(tidy(&fence.code), !fence.closed),
        None => Extracted::new(tidy(&bare(&reply)?), false),
    };
    (!found.code.is_empty()).then_some(found)
}

/// `\n` at each end of line, no byte order mark.
fn normalize(text: &str) -> String {
    text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n")
}

fn best(fences: &[Fence]) -> Option<&Fence> {
    let python = |fence: &&Fence| fence.is_python() || (fence.tag.is_empty() && looks_like_code(&fence.code));
    let longest = |a: &&Fence, b: &&Fence| {
        // Complete ones first; of equal length the later one, which is the one the model settled on.
        (a.closed, a.code.len()).cmp(&(b.closed, b.code.len()))
    };
    fences
        .iter()
        .filter(|fence| has_strategy(&fence.code))
        .max_by(longest)
        .or_else(|| fences.iter().filter(python).max_by(longest))
}

/// A line such as `class Cross(Strategy):`.
fn has_strategy(code: &str) -> bool {
    code.lines().any(|line| {
        let base = line
            .trim_start()
            .strip_prefix("class ")
            .and_then(|rest| rest.split_once('('))
            .map(|(_, bases)| bases);
        base.is_some_and(|bases| bases.contains("Strategy"))
    })
}

fn looks_like_code(text: &str) -> bool {
    text.lines().any(starts_code)
}

/// The code of a reply without fences: from the first line that can only be Python to the last one.
fn bare(reply: &str) -> Option<String> {
    let lines: Vec<&str> = reply.lines().collect();
    let first = lines.iter().position(|line| starts_code(line.trim_start()))?;
    // Markdown's other kind of code block is indented as a whole.
    let indent = lines.get(first).map_or(0, |line| leading(line));
    let inside = |line: &&str| leading(line) >= indent && line.get(indent..).is_some_and(continues_code);
    let last = lines.iter().rposition(inside)?;
    // A comment just above belongs to the code, a heading of Markdown does not.
    let comment = |line: &&&str| line.starts_with('#') && !line.starts_with("##");
    let above = lines.get(..first)?.iter().rev().take_while(comment).count();
    lines.get(first - above..=last.max(first)).map(|code| code.join("\n"))
}

/// A line at the left edge that is Python beyond doubt.
fn starts_code(line: &str) -> bool {
    if let Some(rest) = line.strip_prefix("import ") {
        return rest.split(',').all(|part| is_import(part.split('#').next().unwrap_or_default()));
    }
    if let Some(rest) = line.strip_prefix("from ") {
        return rest.split_once(" import ").is_some_and(|(module, _)| is_import(module));
    }
    let named = |rest: &str, ends: [char; 2]| {
        rest.find(ends).and_then(|end| rest.get(..end)).is_some_and(|name| is_name(name.trim()))
    };
    line.strip_prefix("class ").is_some_and(|rest| named(rest, ['(', ':']))
        || line.strip_prefix("def ").is_some_and(|rest| named(rest, ['(', '[']))
}

/// `a.b` or `a.b as c`.
fn is_import(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [module] => module.split('.').all(is_name),
        [module, "as", alias] => module.split('.').all(is_name) && is_name(alias),
        _ => false,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// A line that may stand inside or at the end of a module: indented, or Python at the left edge.
fn continues_code(line: &str) -> bool {
    const WORDS: [&str; 9] = ["if", "for", "while", "with", "try:", "except", "else:", "elif", "finally:"];
    line.starts_with([' ', '\t', '#', '@', ')', ']', '}', '"', '\''])
        || starts_code(line)
        || (line.trim_end().ends_with(':') && WORDS.iter().any(|word| line.starts_with(word)))
        || line
            .split_once('=')
            .is_some_and(|(left, _)| left.split(['.', ',', ':']).all(|part| is_name(part.trim())))
        || line.split_once('(').is_some_and(|(left, _)| left.split('.').all(is_name))
}

/// Without blank lines around it and without an indent that all lines share.
fn tidy(code: &str) -> String {
    let lines: Vec<&str> = code.lines().collect();
    let filled = |line: &&&str| !line.trim().is_empty();
    let indent = lines.iter().filter(filled).map(|line| leading(line)).min().unwrap_or(0);
    let cut: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    let first = cut.iter().position(|line| !line.trim().is_empty()).unwrap_or(cut.len());
    let last = cut.iter().rposition(|line| !line.trim().is_empty()).map_or(first, |last| last + 1);
    cut.get(first..last).unwrap_or_default().join("\n")
}

/// Bytes of blanks and tabs at the beginning.
fn leading(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}
