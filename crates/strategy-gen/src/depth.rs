//! A bound on the nesting of a module, checked before it is parsed.
//!
//! A model that falls into a loop writes `+1+1+1 ...` or `[[[[ ...` until its output limit. The tree of
//! such a text is as deep as the text is long, and dropping it would overflow the stack and end the
//! process. CPython refuses it as well.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer::lex};

/// CPython: "too many nested parentheses".
const BRACKETS: usize = 200;
/// CPython: "too many levels of indentation".
const INDENTS: usize = 100;
/// Operators and brackets of one statement that can stand below each other in the tree. Trees of 10 000
/// levels fit into a stack of 2 MiB in an unoptimised build.
const OPERATORS: usize = 3_000;

/// The number of the line, from 1, at which the module is nested too deeply.
pub(crate) fn too_deep_at(code: &str) -> Option<usize> {
    if !too_deep(code) {
        return None;
    }
    // The lexer does not say where it is, so the shortest beginning that is too deep is searched.
    let ends: Vec<usize> = code.char_indices().filter(|(_, c)| *c == '\n').map(|(at, _)| at).collect();
    Some(ends.partition_point(|end| !too_deep(code.get(..*end).unwrap_or_default())) + 1)
}

fn too_deep(code: &str) -> bool {
    let mut lexer = lex(code, Mode::Module);
    // Operators since the last comma, for each open bracket; their sum bounds the depth of the tree.
    let mut open: Vec<usize> = Vec::new();
    let (mut here, mut sum, mut indents) = (0usize, 0usize, 0usize);
    // A comma between a lambda's parameters does not end it, so these count for the whole statement.
    let mut lambdas = 0usize;
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return false,
            TokenKind::Indent => indents += 1,
            TokenKind::Dedent => indents = indents.saturating_sub(1),
            TokenKind::Newline => {
                open.clear();
                (here, sum, lambdas) = (0, 0, 0);
            }
            TokenKind::Lambda => lambdas += 1,
            TokenKind::Comma | TokenKind::Semi => {
                sum -= here;
                here = 0;
            }
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                open.push(here + 1);
                sum += 1;
                here = 0;
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                // The bracket itself goes on counting outside: f()()() is a chain.
                if let Some(outside) = open.pop() {
                    sum -= here;
                    here = outside;
                }
            }
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline => {}
            _ => {
                here += 1;
                sum += 1;
            }
        }
        if open.len() > BRACKETS || indents > INDENTS || sum + lambdas > OPERATORS {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_endless_reply_is_refused_and_ordinary_code_is_not() {
        let n = 100_000;
        for (begin, repeated) in [
            ("x = ", "-"),
            ("x = 1", "+1"),
            ("x = a", ".a"),
            ("x = a", "()"),
            ("x = a", "[0]"),
            ("x = ", "["),
            ("x = ", "(\n"),
            ("x = ", "f(1,"),
            ("x = f(1, 2)", " + f(1, 2)"),
            ("x = 1", "**1"),
            ("x = ", "not "),
            ("x = ", "await "),
            ("x = ", "lambda: "),
            ("x = ", "lambda a, b: "),
            ("x = ", "1 if 1 else "),
            ("x = ", "f'{"),
            ("x = ", "{0:"),
        ] {
            assert!(too_deep(&format!("{begin}{}", repeated.repeat(n))), "{begin}{repeated}");
        }
        let levels: String = (0..150).map(|level| format!("{}if a:\n", " ".repeat(level))).collect();
        assert!(too_deep(&levels));
        for flat in ["x = [-1, 2 + 3]\n", "x = f(a.b, c[0])\n", "elif_ = 1\n", "'''\n+1+1\n'''\n"] {
            assert!(!too_deep(&flat.repeat(20_000)), "{flat}");
        }
        assert!(!too_deep(&format!("x = [{}]", "-1, f(2), ".repeat(20_000))));
    }

    #[test]
    fn the_line_is_named() {
        let code = format!("import math\n\nx = 1{}\ny = 2\n", "+1".repeat(5_000));
        assert_eq!(too_deep_at(&code), Some(3));
        assert_eq!(too_deep_at("x = 1\n"), None);
    }
}
