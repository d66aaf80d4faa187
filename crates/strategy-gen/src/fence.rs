//! Fenced blocks of Markdown, as models write them: also indented, unclosed, or with prose before the
//! opening fence on its line.

/// A block between fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The first word after the opening fence, in lower case: `python`; often empty.
    pub(crate) tag: String,
    /// The lines in it.
    pub(crate) code: String,
    /// The closing fence was there.
    pub(crate) closed: bool,
}

const PYTHON_TAGS: [&str; 5] = ["python", "python3", "py", "py3", "python-3"];

impl Fence {
    pub(crate) fn is_python(&self) -> bool {
        PYTHON_TAGS.contains(&self.tag.as_str())
    }
}

/// An opening fence.
struct Opening {
    mark: char,
    length: usize,
    indent: usize,
    tag: String,
}

/// All blocks in order. The text has `\n` at the ends of its lines.
pub(crate) fn fences(text: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<(Opening, Vec<&str>)> = None;
    for line in text.lines() {
        match &mut open {
            None => open = opening(line).map(|opening| (opening, Vec::new())),
            Some((opening, lines)) if closes(opening, line) => {
                found.push(Fence { tag: opening.tag.clone(), code: lines.join("\n"), closed: true });
                open = None;
            }
            Some((outer, lines)) => match python_inside(outer, line) {
                Some(inner) => {
                    found.push(Fence { tag: outer.tag.clone(), code: lines.join("\n"), closed: false });
                    open = Some((inner, Vec::new()));
                }
                None => lines.push(without_indent(line, outer.indent)),
            },
        }
    }
    if let Some((opening, mut lines)) = open {
        let fence: String = std::iter::repeat_n(opening.mark, opening.length).collect();
        // The closing fence may be glued to the last line of the code.
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        let glued = lines.last().and_then(|line| line.trim_end().strip_suffix(&fence));
        let closed = glued.is_some();
        if let (Some(code), Some(last)) = (glued, lines.last_mut()) {
            *last = code;
        }
        found.push(Fence { tag: opening.tag, code: lines.join("\n"), closed });
    }
    found
}

fn opening(line: &str) -> Option<Opening> {
    let text = line.trim_start();
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'));
    let Some(mark) = mark else { return opening_after_prose(line) };
    let rest = text.trim_start_matches(mark);
    let length = text.len() - rest.len();
    // Backticks again in the line: code in a sentence, as in ```x = 1```.
    if length < 3 || (mark == '`' && rest.contains('`')) {
        return None;
    }
    Some(Opening { mark, length, indent: blanks(line), tag: tag(rest) })
}

/// An opening fence of Python inside another block: the other one was Markdown around it, or was never
/// closed. No line of Python looks like this, unless it is indented in a docstring.
fn python_inside(outer: &Opening, line: &str) -> Option<Opening> {
    opening(line).filter(|inner| inner.indent < outer.indent + 4 && PYTHON_TAGS.contains(&inner.tag.as_str()))
}

/// `Here is the code: ```python` is no fence in Markdown, but models mean one.
fn opening_after_prose(line: &str) -> Option<Opening> {
    let (prose, rest) = line.split_once("```")?;
    let tag = tag(rest);
    let one_word = rest.split_whitespace().count() == 1;
    (one_word && !prose.contains('`') && PYTHON_TAGS.contains(&tag.as_str())).then_some(Opening {
        mark: '`',
        length: 3,
        indent: 0,
        tag,
    })
}

/// `Python title="x"`, `{.python}` and `python:main.py` are all Python.
fn tag(rest: &str) -> String {
    let word = rest.trim().trim_start_matches(['{', '.', ' ']);
    let end = word.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '+').unwrap_or(word.len());
    word.get(..end).unwrap_or_default().to_lowercase()
}

/// A fence in a docstring of the code is indented further than the block itself.
fn closes(opening: &Opening, line: &str) -> bool {
    let text = line.trim();
    text.len() >= opening.length
        && text.chars().all(|c| c == opening.mark)
        && blanks(line) < opening.indent + 4
}

fn blanks(line: &str) -> usize {
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).count()
}

/// The line without at most so many blanks at its beginning.
fn without_indent(line: &str, indent: usize) -> &str {
    // Blanks and tabs have one byte each.
    line.get(blanks(line).min(indent)..).unwrap_or(line)
}
