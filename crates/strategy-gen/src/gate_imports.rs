//! Rule `import`: only modules of the allow-list.

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{ModModule, Stmt};
use ruff_text_size::{Ranged, TextSize};

use crate::finding::{Finding, Rule};
use crate::gate::Gate;

/// Modules that a strategy may import. What is below them is named where it is allowed too.
const MODULES: [&str; 19] = [
    "backtesting",
    "backtesting.backtesting",
    "backtesting.lib",
    "backtesting.test",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "math",
    "numpy",
    "numpy.fft",
    "numpy.lib.stride_tricks",
    "numpy.linalg",
    "numpy.random",
    "numpy.typing",
    "pandas",
    "statistics",
    "typing",
    // A directive to the compiler.
    "__future__",
];

/// Modules whose names may be taken in with `*`: none of them is forbidden.
const STARS: [&str; 9] = [
    "backtesting",
    "backtesting.lib",
    "backtesting.test",
    "collections",
    "dataclasses",
    "enum",
    "math",
    "statistics",
    "typing",
];

impl Gate {
    /// What may be imported without being allowed by [`allow`](Self::allow).
    pub const MODULES: &'static [&'static str] = &MODULES;

    pub(crate) fn is_allowed(&self, module: &str) -> bool {
        MODULES.contains(&module) || self.is_allowed_by_user(module)
    }
}

pub(crate) fn check(gate: &Gate, code: &str, module: &ModModule, found: &mut Vec<Finding>) {
    ImportVisitor { gate, code, found }.visit_body(&module.body);
}

struct ImportVisitor<'g> {
    gate: &'g Gate,
    code: &'g str,
    found: &'g mut Vec<Finding>,
}

impl ImportVisitor<'_> {
    fn refuse(&mut self, at: TextSize, message: String) {
        let hint = "Do without it: a strategy needs backtesting, numpy, pandas and a few modules of Python's own \
                    (math, statistics, typing, dataclasses, collections, enum).";
        self.found.push(Finding::at(Rule::Import, self.code, at, message, hint));
    }
}

impl<'a> Visitor<'a> for ImportVisitor<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => {
                for alias in import.names.iter().filter(|alias| !self.gate.is_allowed(&alias.name)) {
                    self.refuse(alias.range().start(), format!("{} may not be imported", alias.name));
                }
            }
            Stmt::ImportFrom(import) => {
                let at = import.range().start();
                let module = import.module.as_ref().map_or("", |module| module.as_str());
                let star = import.names.iter().any(|alias| alias.name.as_str() == "*");
                if import.level > 0 {
                    self.refuse(at, "there is no package around this module".to_owned());
                } else if !self.gate.is_allowed(module) {
                    self.refuse(at, format!("{module} may not be imported"));
                } else if star && !STARS.contains(&module) && !self.gate.is_allowed_by_user(module) {
                    self.refuse(at, format!("from {module} import * hides which names are used"));
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }
}
