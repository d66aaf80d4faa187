//! The parts of Markdown that the rules look at: fenced blocks, links and headings.

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Fence {
    /// The line of the opening fence, counted from 1.
    pub(crate) line: usize,
    /// What follows the opening fence: the language and its options.
    pub(crate) info: String,
    /// The lines inside.
    pub(crate) lines: Vec<String>,
}

/// Markdown cut into fenced blocks and the prose around them.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    pub(crate) fences: Vec<Fence>,
    /// Each line of prose with its number.
    pub(crate) prose: Vec<(usize, String)>,
}

/// Cuts `text`. A fence that is never closed ends with the file.
pub(crate) fn cut(text: &str) -> Markdown {
    let mut markdown = Markdown::default();
    let mut open: Option<(String, Fence)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        match &mut open {
            Some((mark, fence)) => {
                let closes = trimmed.starts_with(mark.as_str())
                    && trimmed.trim_end().chars().all(|character| mark.starts_with(character));
                if !closes {
                    fence.lines.push(line.to_owned());
                } else if let Some((_, fence)) = open.take() {
                    markdown.fences.push(fence);
                }
            }
            None if trimmed.starts_with("```") || trimmed.starts_with("~~~") => {
                let marker = trimmed.chars().next().unwrap_or('`');
                let info = trimmed.trim_start_matches(marker);
                let mark = trimmed[..trimmed.len() - info.len()].to_owned();
                let info = info.trim().to_owned();
                open = Some((mark, Fence { line: index + 1, info, lines: Vec::new() }));
            }
            None => markdown.prose.push((index + 1, line.to_owned())),
        }
    }
    markdown.fences.extend(open.map(|(_, fence)| fence));
    markdown
}

impl Markdown {
    /// The targets of the links in the prose, each with its line.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in &self.prose {
            let line = without_code(line);
            if let Some((label, target)) = line.trim_start().split_once("]: ")
                && label.starts_with('[')
            {
                links.extend(target.split_whitespace().next().map(|target| (*number, target.to_owned())));
            }
            for (at, _) in line.match_indices("](") {
                let rest = &line[at + 2..];
                let end = rest.find([')', ' ']).unwrap_or(rest.len());
                links.push((*number, rest[..end].trim_matches(['<', '>']).to_owned()));
            }
        }
        links
    }

    /// The names that a link may point to behind `#`.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, line) in &self.prose {
            let title = line.trim_start_matches('#');
            if title.len() < line.len() && title.starts_with(' ') {
                let name = slug(title);
                let repeats = anchors.iter().filter(|anchor| **anchor == name).count();
                anchors.push(if repeats == 0 { name } else { format!("{name}-{repeats}") });
            }
            for (at, mark) in line.match_indices("<a id=\"") {
                anchors.extend(line[at + mark.len()..].split('"').next().map(str::to_owned));
            }
        }
        anchors
    }
}

/// The name that a heading gets on the web: lower case, `-` for spaces, no punctuation.
fn slug(title: &str) -> String {
    let mut shown = String::new();
    let mut in_target = false;
    for (at, character) in title.trim().char_indices() {
        match character {
            '(' if title.trim()[..at].ends_with(']') => in_target = true,
            ')' if in_target => in_target = false,
            _ if in_target => {}
            ' ' => shown.push('-'),
            _ if character.is_alphanumeric() || matches!(character, '-' | '_') => {
                shown.extend(character.to_lowercase());
            }
            _ => {}
        }
    }
    shown
}

/// `line` with its code spans blanked.
fn without_code(line: &str) -> String {
    let spans = line.split('`').enumerate();
    spans.map(|(index, part)| if index % 2 == 0 { part } else { " " }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_cut_with_their_language_and_lines() {
        let markdown = cut("a\n```rust,no_run\nb\n```\nc\n  ~~~~ console\n  ```\n  ~~~~\nd");
        let fences: Vec<_> = markdown.fences.iter().map(|fence| (fence.line, fence.info.as_str())).collect();
        assert_eq!(fences, [(2, "rust,no_run"), (6, "console")]);
        assert_eq!(markdown.fences[1].lines, ["  ```"]);
        let prose: Vec<usize> = markdown.prose.iter().map(|(line, _)| *line).collect();
        assert_eq!(prose, [1, 5, 9]);
    }

    #[test]
    fn links_are_found_in_prose_but_not_in_code() {
        let markdown = cut("[a](b.md) `[c](d.md)` [e](f.md#g \"h\")\n[i]: j.md\n```\n[k](l.md)\n```");
        let targets: Vec<String> = markdown.links().into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["b.md", "f.md#g", "j.md"]);
    }

    #[test]
    fn headings_get_the_names_that_the_web_gives_them() {
        let text = "# One key, `single`\n## Quick Start\n## Quick Start\n#not\n<a id=\"here\"></a>\n# [See](x.md) it";
        assert_eq!(cut(text).anchors(), ["one-key-single", "quick-start", "quick-start-1", "here", "see-it"]);
    }
}
