//! Python's grammar and the shape of a strategy, checked in Rust without running anything.

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{ModModule, PythonVersion, Stmt, StmtClassDef};
use ruff_python_parser::{Mode, ParseOptions, Parsed, parse_unchecked};
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::bases::{Base, Imports};
use crate::depth::too_deep_at;
use crate::finding::{Finding, Rule};

/// The oldest Python whose grammar a module may need.
const PYTHON: PythonVersion = PythonVersion::PY310;

/// A module that parses and has the shape of a strategy.
#[derive(Debug)]
pub struct Checked {
    /// Name of the one class that derives from `Strategy`.
    pub class_name: String,
    /// Where that name, or any other, stands in the code.
    names: Vec<TextRange>,
}

/// Parses a module and looks for its strategy: exactly one class that derives from backtesting.py's
/// `Strategy`, with `init` and `next`.
///
/// The error is the first thing that is wrong.
///
/// ```
/// let finding = strategy_gen::check("class A:\n    def next(self)\n        pass\n").unwrap_err();
/// assert_eq!((finding.line, finding.column), (2, 19));
/// ```
pub fn check(code: &str) -> Result<Checked, Finding> {
    if let Some(line) = too_deep_at(code) {
        let hint = "Shorten this statement; Python cannot compile it.";
        return Err(Finding::new(Rule::Nesting, code, line, 1, "nested too deeply", hint));
    }
    let parsed = parse(code)?;
    let class = the_strategy(code, parsed.syntax())?;
    for method in ["init", "next"] {
        if !class
            .body
            .iter()
            .any(|stmt| matches!(stmt, Stmt::FunctionDef(def) if def.name.as_str() == method))
        {
            let message = format!("class {} has no method {method}(self)", class.name);
            let hint = format!("Define def {method}(self) in the class.");
            return Err(at(Rule::MissingMethod, code, class.name.range().start(), message, hint));
        }
    }
    let names = parsed.tokens().iter().filter(|token| token.kind() == TokenKind::Name).map(Ranged::range);
    Ok(Checked { class_name: class.name.to_string(), names: names.collect() })
}

impl Checked {
    /// The code with its class under another name.
    ///
    /// Fails if the module uses that name for something else.
    pub fn rename(&self, code: &str, name: &str) -> Result<String, Finding> {
        let text = |range: &TextRange| code.get(range.start().to_usize()..range.end().to_usize());
        if let Some(taken) = self.names.iter().find(|range| text(range) == Some(name)) {
            let message = format!("{name} is wanted as the name of the class, but means something else here");
            let hint = format!("Name the class {name} and rename the other.");
            return Err(at(Rule::ClassName, code, taken.start(), message, hint));
        }
        let mut renamed = String::with_capacity(code.len() + name.len());
        let mut done = 0;
        for range in self.names.iter().filter(|range| text(range) == Some(self.class_name.as_str())) {
            renamed.push_str(code.get(done..range.start().to_usize()).unwrap_or_default());
            renamed.push_str(name);
            done = range.end().to_usize();
        }
        renamed.push_str(code.get(done..).unwrap_or_default());
        Ok(renamed)
    }
}

fn parse(code: &str) -> Result<Parsed<ModModule>, Finding> {
    let hint = "Correct the syntax of this line, or of the one before it.";
    let parsed = parse_unchecked(code, ParseOptions::from(Mode::Module).with_target_version(PYTHON));
    if let Some(error) = parsed.errors().first() {
        return Err(at(Rule::Syntax, code, error.location.start(), error.error.to_string(), hint));
    }
    if let Some(error) = parsed.unsupported_syntax_errors().first() {
        return Err(at(
            Rule::Syntax,
            code,
            error.range.start(),
            error.to_string(),
            "Use syntax of Python 3.10.",
        ));
    }
    parsed.try_into_module().ok_or_else(|| Finding::without_place(Rule::Syntax, "not a module", hint))
}

fn the_strategy<'a>(code: &str, module: &'a ModModule) -> Result<&'a StmtClassDef, Finding> {
    let imports = Imports::of(&module.body);
    let mut strategies: Vec<&StmtClassDef> = Vec::new();
    for class in module.body.iter().filter_map(Stmt::as_class_def_stmt) {
        for base in class.bases() {
            match imports.resolve(base) {
                Base::Strategy => strategies.push(class),
                Base::Local(name) if strategies.iter().any(|known| known.name.as_str() == name) => {
                    strategies.push(class);
                }
                Base::Local("Strategy") => {
                    let message = "Strategy is not imported";
                    let hint = "Add the line: from backtesting import Strategy";
                    return Err(at(Rule::StrategyImport, code, base.range().start(), message, hint));
                }
                Base::Local(_) | Base::Other => continue,
            }
            break;
        }
    }
    match strategies.as_slice() {
        [class] => Ok(class),
        [] => Err(Finding::without_place(
            Rule::NoStrategy,
            "no class at the top level derives from backtesting.Strategy",
            "Define one class that derives from Strategy, with init(self) and next(self).",
        )),
        [first, second, ..] => {
            let message = format!("both {} and {} derive from Strategy", first.name, second.name);
            let hint = "Keep one class that derives from Strategy.";
            Err(at(Rule::SeveralStrategies, code, second.name.range().start(), message, hint))
        }
    }
}

/// A finding at an offset in bytes.
fn at(
    rule: Rule,
    code: &str,
    offset: TextSize,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    // What is missing at the end is shown behind the last character, not on an empty line below.
    let offset = offset.to_usize().min(code.trim_end().len());
    let before = code.get(..offset).unwrap_or(code);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Finding::new(rule, code, line, column, message, hint)
}
