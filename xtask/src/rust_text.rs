//! Tells code, comments and string literals of Rust source apart, so that a rule judges only what it means.

/// A Rust file cut in three, each with the line breaks of the original.
#[derive(Debug)]
pub(crate) struct RustText {
    /// The source with spaces for comments and `_` for the contents of string literals.
    pub(crate) code: String,
    /// Each string literal with its line, counted from 1. Escapes are left as written.
    pub(crate) strings: Vec<(usize, String)>,
    /// Each line of a comment with its line, without its slashes.
    pub(crate) comments: Vec<(usize, String)>,
}

/// Cuts `source`. Source that does not compile gives an approximation.
pub(crate) fn cut(source: &str) -> RustText {
    let characters: Vec<char> = source.chars().collect();
    let mut cutter = Cutter {
        characters: &characters,
        at: 0,
        line: 1,
        out: RustText { code: String::new(), strings: Vec::new(), comments: Vec::new() },
    };
    while cutter.at < characters.len() {
        cutter.step();
    }
    cutter.out
}

struct Cutter<'a> {
    characters: &'a [char],
    at: usize,
    line: usize,
    out: RustText,
}

impl Cutter<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => self.line_comment(),
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('r'), Some('"' | '#')) if !self.inside_word() && self.hashes(1).is_some() => {
                self.raw_string();
            }
            (Some('\''), Some('\\')) => self.character(2),
            (Some('\''), Some(_)) if self.peek(2) == Some('\'') => self.character(1),
            (Some(_), _) => {
                self.keep();
            }
            (None, _) => {}
        }
    }

    /// Copies one character to the code.
    fn keep(&mut self) -> Option<char> {
        let character = self.peek(0)?;
        self.out.code.push(character);
        self.advance(character);
        Some(character)
    }

    /// Puts `cover` in the place of one character of the code, and returns that character.
    fn hide(&mut self, cover: char) -> Option<char> {
        let character = self.peek(0)?;
        self.out.code.push(if character == '\n' { '\n' } else { cover });
        self.advance(character);
        Some(character)
    }

    fn advance(&mut self, character: char) {
        self.at += 1;
        if character == '\n' {
            self.line += 1;
        }
    }

    /// True after `br`, `cr` or an identifier that ends in r; only a lone prefix may come before a raw string.
    fn inside_word(&self) -> bool {
        let word = |back: usize| {
            self.at
                .checked_sub(back)
                .is_some_and(|at| self.characters[at].is_alphanumeric() || self.characters[at] == '_')
        };
        let prefixed = self.at.checked_sub(1).is_some_and(|at| matches!(self.characters[at], 'b' | 'c'));
        word(if prefixed { 2 } else { 1 })
    }

    /// The number of `#` from `ahead` on, if a quote follows them.
    fn hashes(&self, ahead: usize) -> Option<usize> {
        let count = (0..).take_while(|offset| self.peek(ahead + offset) == Some('#')).count();
        (self.peek(ahead + count) == Some('"')).then_some(count)
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.peek(0).is_some_and(|character| character != '\n') {
            text.extend(self.hide(' '));
        }
        let text = text.trim_start_matches(['/', '!']).trim().to_owned();
        self.out.comments.push((line, text));
    }

    fn block_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => break,
                _ => {
                    text.extend(self.hide(' '));
                    continue;
                }
            }
            self.hide(' ');
            self.hide(' ');
            if depth == 0 {
                break;
            }
        }
        for (offset, content) in text.lines().enumerate() {
            self.out.comments.push((line + offset, content.trim().to_owned()));
        }
    }

    fn string(&mut self) {
        let line = self.line;
        let mut text = String::new();
        self.keep();
        while let Some(character) = self.peek(0) {
            if character == '"' {
                break;
            }
            text.extend(self.hide('_'));
            if character == '\\' {
                text.extend(self.hide('_'));
            }
        }
        self.keep();
        self.out.strings.push((line, text));
    }

    fn raw_string(&mut self) {
        let line = self.line;
        let hashes = self.hashes(1).unwrap_or(0);
        for _ in 0..hashes + 2 {
            self.keep();
        }
        let mut text = String::new();
        while let Some(character) = self.peek(0) {
            if character == '"' && (1..=hashes).all(|offset| self.peek(offset) == Some('#')) {
                break;
            }
            text.extend(self.hide('_'));
        }
        for _ in 0..=hashes {
            self.keep();
        }
        self.out.strings.push((line, text));
    }

    fn character(&mut self, content: usize) {
        self.keep();
        for _ in 0..content {
            self.hide('_');
        }
        while self.peek(0).is_some_and(|character| character != '\'' && character != '\n') {
            self.hide('_');
        }
        if self.peek(0) == Some('\'') {
            self.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, code: &str, strings: &[&str], comments: &[&str]) {
        let cut = cut(source);
        let found: Vec<&str> = cut.strings.iter().map(|(_, text)| text.as_str()).collect();
        let said: Vec<&str> = cut.comments.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!((cut.code.trim_end(), &*found, &*said), (code, strings, comments), "{source}");
    }

    #[test]
    fn code_strings_and_comments_are_told_apart() {
        check("let a = \"x // y\"; // z", "let a = \"______\";", &["x // y"], &["z"]);
        check("//! doc \"quoted\"\nf()", "                \nf()", &[], &["doc \"quoted\""]);
        check("a /* b /* c */ d */ e", "a                   e", &[], &["b  c  d"]);
    }

    #[test]
    fn escapes_raw_strings_and_characters_do_not_end_a_string_early() {
        check(r#"f("a\"b") g"#, r#"f("____") g"#, &[r#"a\"b"#], &[]);
        check(r##"f(r#"a"b"#) g"##, r##"f(r#"___"#) g"##, &["a\"b"], &[]);
        check("f(br\"a\") g", "f(br\"_\") g", &["a"], &[]);
        check("x('\"') y('\\'') 'life", "x('_') y('__') 'life", &[], &[]);
        check("for\"a\"", "for\"_\"", &["a"], &[]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let cut = cut("\"a\nb\"\n/* c\nd */ \"e\" // f");
        assert_eq!(cut.strings, [(1, "a\nb".to_owned()), (4, "e".to_owned())]);
        let lines: Vec<usize> = cut.comments.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 4]);
        assert_eq!(cut.code.lines().count(), 4);
    }
}
