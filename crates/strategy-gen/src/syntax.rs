//! Python's grammar and the shape of a strategy: one class that derives from `Strategy`, with its two methods.

use std::collections::BTreeMap;

use ruff_python_ast::comparable::ComparableExpr;
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{ModModule, PythonVersion, Stmt, StmtClassDef};
use ruff_python_parser::{Mode, ParseOptions, Parsed, parse_expression, parse_unchecked};
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::bases::{Base, Imports};
use crate::depth::too_deep_at;
use crate::finding::{Finding, Findings, Rule};
use crate::verification::Parameter;

/// The oldest Python whose grammar a module may need.
const PYTHON: PythonVersion = PythonVersion::PY310;

/// A module that has passed the gate.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// Name of the one class that derives from `Strategy`.
    pub class_name: String,
    /// What looks like looking ahead and may be honest.
    pub warnings: Vec<Finding>,
    /// Where that name, or any other, stands in the code.
    names: Vec<TextRange>,
    /// Where the name of the class stands.
    class_at: TextSize,
    /// The attributes of the class that are set in its body, with where their defaults stand.
    attributes: Vec<(String, TextRange)>,
}

impl Checked {
    pub(crate) fn new(parsed: &Parsed<ModModule>, class: &StmtClassDef, warnings: Vec<Finding>) -> Self {
        let names = parsed.tokens().iter().filter(|token| token.kind() == TokenKind::Name);
        Self {
            class_name: class.name.to_string(),
            warnings,
            names: names.map(Ranged::range).collect(),
            class_at: class.name.range().start(),
            attributes: class.body.iter().filter_map(attribute).collect(),
        }
    }

    /// The class attributes with their defaults, as they stand in the code.
    pub(crate) fn parameters(&self, code: &str) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for (name, range) in &self.attributes {
            let default = code.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
            // Of two, Python keeps the later one.
            parameters.retain(|known| known.name != *name);
            parameters.push(Parameter::new(name, default.to_owned()));
        }
        parameters
    }

    /// Each class attribute that is wanted must be set in the body of the class, to the same expression.
    pub(crate) fn has(&self, wanted: &BTreeMap<String, String>, code: &str) -> Result<(), Findings> {
        let missing = wanted.iter().filter_map(|(name, value)| {
            let hint = format!("Write {name} = {value} in the body of the class.");
            let Some((_, range)) = self.attributes.iter().rev().find(|(known, _)| known == name) else {
                let message = format!("the class has no attribute {name}");
                return Some(Finding::at(Rule::Parameter, code, self.class_at, message, hint));
            };
            let found = code.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
            let message = format!("the class attribute {name} is {found}, not {value}");
            (!same_expression(found, value))
                .then(|| Finding::at(Rule::Parameter, code, range.start(), message, hint))
        });
        Findings::of(missing.collect()).map_or(Ok(()), Err)
    }

    /// The code with its class under another name.
    ///
    /// Fails if the module uses that name for something else.
    pub fn rename(&self, code: &str, name: &str) -> Result<String, Finding> {
        let text = |range: &TextRange| code.get(range.start().to_usize()..range.end().to_usize());
        if let Some(taken) = self.names.iter().find(|range| text(range) == Some(name)) {
            let message = format!("{name} is wanted as the name of the class, but means something else here");
            let hint = format!("Name the class {name} and rename the other.");
            return Err(Finding::at(Rule::ClassName, code, taken.start(), message, hint));
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

/// `n = 14` or `n: int = 14`.
fn attribute(stmt: &Stmt) -> Option<(String, TextRange)> {
    let (target, value) = match stmt {
        Stmt::Assign(assign) => match assign.targets.as_slice() {
            [target] => (target, &*assign.value),
            _ => return None,
        },
        Stmt::AnnAssign(assign) => (&*assign.target, assign.value.as_deref()?),
        _ => return None,
    };
    Some((target.as_name_expr()?.id.to_string(), value.range()))
}

/// However they are laid out.
fn same_expression(one: &str, other: &str) -> bool {
    match (parse_expression(one), parse_expression(other)) {
        (Ok(one), Ok(other)) => ComparableExpr::from(one.expr()) == ComparableExpr::from(other.expr()),
        _ => one == other,
    }
}

/// The module's tree, or the first thing that Python 3.10 would not parse.
pub(crate) fn parse(code: &str) -> Result<Parsed<ModModule>, Finding> {
    if let Some(line) = too_deep_at(code) {
        let hint = "Shorten this statement; Python cannot compile it.";
        return Err(Finding::new(Rule::Nesting, code, line, 1, "nested too deeply", hint));
    }
    let hint = "Correct the syntax of this line, or of the one before it.";
    let parsed = parse_unchecked(code, ParseOptions::from(Mode::Module).with_target_version(PYTHON));
    if let Some(error) = parsed.errors().first() {
        return Err(Finding::at(Rule::Syntax, code, error.location.start(), error.error.to_string(), hint));
    }
    if let Some(error) = parsed.unsupported_syntax_errors().first() {
        return Err(Finding::at(
            Rule::Syntax,
            code,
            error.range.start(),
            error.to_string(),
            "Use syntax of Python 3.10.",
        ));
    }
    parsed.try_into_module().ok_or_else(|| Finding::without_place(Rule::Syntax, "not a module", hint))
}

/// The one class that derives from backtesting.py's `Strategy`.
pub(crate) fn the_strategy<'a>(code: &str, module: &'a ModModule) -> Result<&'a StmtClassDef, Finding> {
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
                    return Err(Finding::at(Rule::StrategyImport, code, base.range().start(), message, hint));
                }
                Base::Local(_) | Base::Other => continue,
            }
            break;
        }
    }
    match strategies.as_slice() {
        [class] => has_both_methods(code, class).map(|()| *class),
        [] => Err(Finding::without_place(
            Rule::NoStrategy,
            "no class at the top level derives from backtesting.Strategy",
            "Define one class that derives from Strategy, with init(self) and next(self).",
        )),
        [first, second, ..] => {
            let message = format!("both {} and {} derive from Strategy", first.name, second.name);
            let hint = "Keep one class that derives from Strategy.";
            Err(Finding::at(Rule::SeveralStrategies, code, second.name.range().start(), message, hint))
        }
    }
}

fn has_both_methods(code: &str, class: &StmtClassDef) -> Result<(), Finding> {
    let defines = |method: &str| {
        let is = |stmt: &Stmt| matches!(stmt, Stmt::FunctionDef(def) if def.name.as_str() == method);
        class.body.iter().any(is)
    };
    match ["init", "next"].into_iter().find(|method| !defines(method)) {
        None => Ok(()),
        Some(method) => {
            let message = format!("class {} has no method {method}(self)", class.name);
            let hint = format!("Define def {method}(self) in the class.");
            Err(Finding::at(Rule::MissingMethod, code, class.name.range().start(), message, hint))
        }
    }
}
