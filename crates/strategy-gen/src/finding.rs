//! What is wrong with a module: where, which rule, and what to do.

use std::fmt;

use ruff_text_size::TextSize;
use serde::Serialize;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// A window that is centred on its bar. A warning.
    CenteredWindow,
    /// The wanted class name already means something else in the module.
    ClassName,
    /// An attribute with two underscores on both sides.
    Dunder,
    /// What an allowed module offers to reach files, to evaluate text, or to reach another module.
    ForbiddenAttribute,
    /// A built-in function that runs text, opens files, looks around, or differs from run to run.
    ForbiddenName,
    /// The whole history is read in `init`. A warning.
    FrameInInit,
    /// A module that is not on the allow-list.
    Import,
    /// `init` or `next` is missing.
    MissingMethod,
    /// `shift` and its like by a negative number of bars. A warning.
    NegativeShift,
    /// Nested more deeply than Python can compile.
    Nesting,
    /// The reply holds no Python code.
    NoCode,
    /// No class derives from `Strategy`.
    NoStrategy,
    /// A class attribute that was asked for is missing or has another default.
    Parameter,
    /// A private attribute of the library.
    Private,
    /// A series that is turned round. A warning.
    ReversedSeries,
    /// More than one class derives from `Strategy`.
    SeveralStrategies,
    /// `Strategy` is used but not imported.
    StrategyImport,
    /// Python's grammar.
    Syntax,
    /// A call outside functions.
    TopLevelCall,
}

impl Rule {
    /// Stable name, as in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::CenteredWindow => "centered-window",
            Self::ClassName => "class-name",
            Self::Dunder => "dunder",
            Self::ForbiddenAttribute => "forbidden-attribute",
            Self::ForbiddenName => "forbidden-name",
            Self::FrameInInit => "frame-in-init",
            Self::Import => "import",
            Self::MissingMethod => "missing-method",
            Self::NegativeShift => "negative-shift",
            Self::Nesting => "nesting",
            Self::NoCode => "no-code",
            Self::NoStrategy => "no-strategy",
            Self::Parameter => "parameter",
            Self::Private => "private",
            Self::ReversedSeries => "reversed-series",
            Self::SeveralStrategies => "several-strategies",
            Self::StrategyImport => "strategy-import",
            Self::Syntax => "syntax",
            Self::TopLevelCall => "top-level-call",
        }
    }

    /// True if it stops nothing: the usual forms of looking ahead, which may be honest.
    pub fn is_warning(self) -> bool {
        matches!(self, Self::CenteredWindow | Self::FrameInInit | Self::NegativeShift | Self::ReversedSeries)
    }
}

/// One thing that is wrong, exact enough for a model or a person to correct it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub rule: Rule,
    /// Line, from 1; 0 if it is about the reply as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 if it is about the reply as a whole.
    pub column: usize,
    /// What was found.
    pub message: String,
    /// The line as it stands in the module.
    pub source_line: String,
    /// What to do.
    pub hint: String,
}

/// Longer lines are cut in the text form; a degenerate reply can be one line of 60 000 characters.
const SHOWN_COLUMNS: usize = 160;

impl Finding {
    /// A finding at a place of the module.
    pub fn new(
        rule: Rule,
        code: &str,
        line: usize,
        column: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let source_line = code.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned();
        Self { rule, line, column, message: message.into(), source_line, hint: hint.into() }
    }

    /// A finding at an offset in bytes.
    pub(crate) fn at(
        rule: Rule,
        code: &str,
        offset: TextSize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        // What is missing at the end is shown behind the last character, not on an empty line below.
        let offset = offset.to_usize().min(code.trim_end().len());
        let before = code.get(..offset).unwrap_or(code);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::new(rule, code, line, column, message, hint)
    }

    /// A finding about the reply as a whole.
    pub fn without_place(rule: Rule, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            rule,
            line: 0,
            column: 0,
            message: message.into(),
            source_line: String::new(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Finding {
    /// `line 3, column 20: Expected ':', found newline [syntax]`, the line, a mark below it, the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        write!(f, "{} [{}]", self.message, self.rule.name())?;
        if self.line > 0 && self.column <= SHOWN_COLUMNS {
            let shown: String = self.source_line.chars().take(SHOWN_COLUMNS).collect();
            // Tabs are kept in the indent so that the mark stands below its character.
            let indent: String = shown
                .chars()
                .chain(std::iter::repeat(' '))
                .take(self.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n    {shown}\n    {indent}^")?;
        }
        write!(f, "\n{}", self.hint)
    }
}

/// All that is wrong with a module, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    first: Finding,
    others: Vec<Finding>,
}

impl Findings {
    /// `None` if there are none.
    pub(crate) fn of(mut findings: Vec<Finding>) -> Option<Self> {
        findings.sort_by_key(|finding| (finding.line, finding.column, finding.rule));
        let mut findings = findings.into_iter();
        Some(Self { first: findings.next()?, others: findings.collect() })
    }

    /// The one nearest to the beginning.
    pub fn first(&self) -> &Finding {
        &self.first
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// True if one of them is about this.
    pub fn has(&self, rule: Rule) -> bool {
        self.iter().any(|finding| finding.rule == rule)
    }
}

impl From<Finding> for Findings {
    fn from(first: Finding) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl fmt::Display for Findings {
    /// Each finding, a line between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.iter().enumerate() {
            let between = if number == 0 { "" } else { "\n" };
            write!(f, "{between}{finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_below_its_character() {
        let finding = Finding::new(Rule::Syntax, "class A:\n\tx = (\n", 2, 6, "Expected ')'", "Close it.");
        assert_eq!(
            finding.to_string(),
            "line 2, column 6: Expected ')' [syntax]\n    \tx = (\n    \t    ^\nClose it."
        );
    }

    #[test]
    fn a_finding_about_the_whole_reply_has_no_place() {
        let finding = Finding::without_place(Rule::NoCode, "there is no code", "Reply with code.");
        assert_eq!(finding.to_string(), "there is no code [no-code]\nReply with code.");
    }

    #[test]
    fn a_line_without_end_is_not_repeated_whole() {
        let code = "+1".repeat(50_000);
        let text = Finding::new(Rule::Nesting, &code, 1, 1, "too deep", "Split it.").to_string();
        assert!(text.len() < 500, "{}", text.len());
    }

    #[test]
    fn json_and_text_use_the_same_rule_name() {
        for rule in [Rule::SeveralStrategies, Rule::NoCode, Rule::Syntax, Rule::ClassName, Rule::NoStrategy] {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
    }
}
