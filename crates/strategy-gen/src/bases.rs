//! Which classes derive from backtesting.py's `Strategy`, through whatever names it was imported by.

use std::collections::BTreeMap;

use ruff_python_ast::{Expr, Stmt};

/// `Strategy`, and the two of backtesting.py's own classes that derive from it.
const STRATEGIES: [&str; 4] = [
    "backtesting.Strategy",
    "backtesting.backtesting.Strategy",
    "backtesting.lib.SignalStrategy",
    "backtesting.lib.TrailingStrategy",
];

/// What a base of a class is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Base<'a> {
    /// backtesting.py's `Strategy`, or one of its own subclasses of it.
    Strategy,
    /// A name that no import brought in.
    Local(&'a str),
    /// Anything else.
    Other,
}

/// Names that the imports of a module bring in, with what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Imports<'a> {
    names: BTreeMap<&'a str, String>,
    /// Modules of `from m import *`.
    stars: Vec<&'a str>,
}

impl<'a> Imports<'a> {
    /// The imports at the top level of a module, also those inside `try` and `if`.
    pub(crate) fn of(body: &'a [Stmt]) -> Self {
        let mut imports = Self::default();
        let mut nested: Vec<&'a Stmt> = body.iter().collect();
        while let Some(stmt) = nested.pop() {
            match stmt {
                Stmt::If(stmt) => {
                    nested.extend(&stmt.body);
                    nested.extend(stmt.elif_else_clauses.iter().flat_map(|clause| &clause.body));
                }
                Stmt::Try(stmt) => {
                    let handlers = stmt.handlers.iter().filter_map(|handler| handler.as_except_handler());
                    nested.extend(&stmt.body);
                    nested.extend(handlers.flat_map(|handler| &handler.body));
                }
                _ => imports.add(stmt),
            }
        }
        imports
    }

    /// Takes in an import; any other statement brings in nothing.
    pub(crate) fn add(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.name.as_str();
                    // `import a.b` brings in `a`.
                    match &alias.asname {
                        Some(given) => self.names.insert(given.as_str(), name.to_owned()),
                        None => {
                            let top = name.split('.').next().unwrap_or(name);
                            self.names.insert(top, top.to_owned())
                        }
                    };
                }
            }
            Stmt::ImportFrom(import) => {
                let Some(module) = &import.module else { return };
                for alias in &import.names {
                    if alias.name.as_str() == "*" {
                        self.stars.push(module.as_str());
                    } else {
                        let given = alias.asname.as_ref().unwrap_or(&alias.name);
                        self.names.insert(given.as_str(), format!("{module}.{}", alias.name));
                    }
                }
            }
            _ => {}
        }
    }

    /// What a dotted expression stands for if its first name was imported: `np.lib` is `numpy.lib`.
    pub(crate) fn path(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Name(name) => self.names.get(name.id.as_str()).cloned(),
            Expr::Attribute(attribute) => {
                Some(format!("{}.{}", self.path(&attribute.value)?, attribute.attr))
            }
            _ => None,
        }
    }

    /// What a base stands for.
    pub(crate) fn resolve(&self, base: &'a Expr) -> Base<'a> {
        let mut parts = Vec::new();
        let mut expr = base;
        let first = loop {
            match expr {
                Expr::Attribute(attribute) => {
                    parts.push(attribute.attr.as_str());
                    expr = &attribute.value;
                }
                Expr::Name(name) => break name.id.as_str(),
                _ => return Base::Other,
            }
        };
        parts.reverse();
        let path =
            |first: &str| std::iter::once(first).chain(parts.iter().copied()).collect::<Vec<_>>().join(".");
        let known = |path: &str| STRATEGIES.contains(&path);
        match self.names.get(first) {
            Some(meaning) if known(&path(meaning)) => Base::Strategy,
            Some(_) => Base::Other,
            None if self.stars.iter().any(|module| known(&format!("{module}.{}", path(first)))) => {
                Base::Strategy
            }
            None if parts.is_empty() => Base::Local(first),
            None => Base::Other,
        }
    }
}
