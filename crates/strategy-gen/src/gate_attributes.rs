//! Rules `dunder`, `private` and `forbidden-attribute`: what may follow a dot.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_pattern_keyword, walk_stmt};
use ruff_python_ast::{Expr, ExprAttribute, Identifier, ModModule, PatternKeyword, Stmt};
use ruff_text_size::{Ranged, TextRange};

use crate::bases::Imports;
use crate::finding::{Finding, Rule};
use crate::gate::Gate;

/// Files and text that is evaluated, whatever the object.
const ANYWHERE: [&str; 52] = [
    "dump",
    "eval",
    "fromfile",
    "fromregex",
    "genfromtxt",
    "loadtxt",
    "memmap",
    "open_memmap",
    "query",
    "read_clipboard",
    "read_csv",
    "read_excel",
    "read_feather",
    "read_fwf",
    "read_gbq",
    "read_hdf",
    "read_html",
    "read_iceberg",
    "read_json",
    "read_orc",
    "read_parquet",
    "read_pickle",
    "read_sas",
    "read_spss",
    "read_sql",
    "read_sql_query",
    "read_sql_table",
    "read_stata",
    "read_table",
    "read_xml",
    "savetxt",
    "savez",
    "savez_compressed",
    "to_clipboard",
    "to_csv",
    "to_excel",
    "to_feather",
    "to_gbq",
    "to_hdf",
    "to_html",
    "to_iceberg",
    "to_json",
    "to_latex",
    "to_markdown",
    "to_orc",
    "to_parquet",
    "to_pickle",
    "to_sql",
    "to_stata",
    "to_string",
    "to_xml",
    "tofile",
];

/// Members of modules: more files, processes, and the modules that these happen to import.
const MEMBERS: [&str; 54] = [
    "DataSource",
    "ExcelFile",
    "ExcelWriter",
    "HDFStore",
    "MultiBacktest",
    "Pool",
    "SharedMemoryManager",
    "abc",
    "ast",
    "builtins",
    "codecs",
    "compat",
    "contextlib",
    "copy",
    "core",
    "ctypeslib",
    "distutils",
    "f2py",
    "format",
    "functools",
    "gc",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "keyword",
    "load",
    "multiprocessing",
    "npyio",
    "numbers",
    "operator",
    "os",
    "pathlib",
    "pickle",
    "platform",
    "plotting",
    "random",
    "re",
    "save",
    "set_bokeh_output",
    "shutil",
    "signal",
    "site",
    "socket",
    "subprocess",
    "sys",
    "sysconfig",
    "tempfile",
    "testing",
    "threading",
    "tracemalloc",
    "types",
    "warnings",
    "weakref",
];

/// Private names of the library that a class must not take over.
const OF_THE_LIBRARY: [&str; 5] = ["_broker", "_check_params", "_data", "_indicators", "_params"];

/// Underscored names that are meant to be used.
const PUBLIC: [&str; 6] =
    ["_asdict", "_field_defaults", "_fields", "_make", "_replace", "_generate_next_value_"];

pub(crate) fn check(gate: &Gate, code: &str, module: &ModModule, found: &mut Vec<Finding>) {
    let mut own = OwnNames::default();
    own.visit_body(&module.body);
    let OwnNames { names, imports } = own;
    AttributeVisitor { gate, code, own: names, imports, found }.visit_body(&module.body);
}

/// `__name__` and its like.
pub(crate) fn is_dunder(name: &str) -> bool {
    name.len() > 4 && name.starts_with("__") && name.ends_with("__")
}

/// What the module's classes make themselves: methods, class attributes, `self.x = ...`; and every import.
#[derive(Default)]
struct OwnNames<'a> {
    names: BTreeSet<&'a str>,
    imports: Imports<'a>,
}

impl<'a> Visitor<'a> for OwnNames<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        self.imports.add(stmt);
        if let Stmt::ClassDef(class) = stmt {
            for stmt in &class.body {
                match stmt {
                    Stmt::FunctionDef(def) => drop(self.names.insert(&def.name)),
                    Stmt::Assign(assign) => {
                        let names = assign.targets.iter().filter_map(Expr::as_name_expr);
                        self.names.extend(names.map(|name| name.id.as_str()));
                    }
                    Stmt::AnnAssign(assign) => {
                        self.names.extend(assign.target.as_name_expr().map(|name| name.id.as_str()));
                    }
                    _ => {}
                }
            }
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Attribute(attribute) = expr
            && attribute.ctx.is_store()
            && is_self(&attribute.value)
        {
            self.names.insert(&attribute.attr);
        }
        walk_expr(self, expr);
    }
}

fn is_self(expr: &Expr) -> bool {
    expr.as_name_expr().is_some_and(|name| name.id == "self")
}

struct AttributeVisitor<'a, 'g> {
    gate: &'g Gate,
    code: &'g str,
    own: BTreeSet<&'a str>,
    imports: Imports<'a>,
    found: &'g mut Vec<Finding>,
}

impl AttributeVisitor<'_, '_> {
    fn refuse(&mut self, rule: Rule, range: TextRange, message: String, hint: &str) {
        self.found.push(Finding::at(rule, self.code, range.start(), message, hint));
    }

    /// Underscores at the beginning. True if the name was refused.
    fn underscored(&mut self, name: &str, range: TextRange) -> bool {
        if is_dunder(name) {
            let hint = "Do without it; a strategy needs nothing of the interpreter.";
            self.refuse(Rule::Dunder, range, format!("{name} leads into the interpreter"), hint);
            return true;
        }
        // Python writes `self.__x` of a class C as `_C__x`: nobody means it by that name.
        let mangled = name.trim_start_matches('_').contains("__") && !name.starts_with("__");
        let own = self.own.contains(name) && !OF_THE_LIBRARY.contains(&name) && !mangled;
        if !name.starts_with('_') || name == "_" || own || PUBLIC.contains(&name) {
            return false;
        }
        let hint = "Use what the library documents: self.data, self.orders, self.trades, self.position, self.equity.";
        self.refuse(Rule::Private, range, format!("{name} is private to the library"), hint);
        true
    }

    /// A member of a module that gives files, processes or other modules.
    fn member(&mut self, module: &str, name: &str, range: TextRange) -> bool {
        let path = format!("{module}.{name}");
        // `numpy.random` and `collections.abc` are on the allow-list.
        if !MEMBERS.contains(&name) || self.gate.is_allowed(&path) || self.gate.is_allowed(name) {
            return false;
        }
        let hint =
            "Do without it: a strategy gets its data from backtesting and needs no file and no other module.";
        self.refuse(Rule::ForbiddenAttribute, range, format!("{path} is not for strategies"), hint);
        true
    }

    /// Something that reads or writes files or evaluates text, on whatever object.
    fn anywhere(&mut self, name: &str, range: TextRange) {
        if ANYWHERE.contains(&name) {
            let hint = "Do without it: prices are in self.data; nothing is read, written or evaluated.";
            let message = format!("{name} reads or writes files or evaluates text");
            self.refuse(Rule::ForbiddenAttribute, range, message, hint);
        }
    }

    fn attribute(&mut self, attribute: &ExprAttribute) {
        let (name, range) = (attribute.attr.as_str(), attribute.attr.range());
        if (name == "__init__" && is_super(&attribute.value)) || self.underscored(name, range) {
            return;
        }
        let module = self.imports.path(&attribute.value);
        let refused = module.is_some_and(|module| self.member(&module, name, range));
        let own = is_self(&attribute.value) && self.own.contains(name);
        if !refused && !own {
            self.anywhere(name, range);
        }
    }
}

/// `super()`, whose constructor a helper class has to call.
fn is_super(expr: &Expr) -> bool {
    expr.as_call_expr().and_then(|call| call.func.as_name_expr()).is_some_and(|name| name.id == "super")
}

impl<'a> Visitor<'a> for AttributeVisitor<'a, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if let Stmt::ImportFrom(import) = stmt
            && let Some(module) = &import.module
        {
            for alias in import.names.iter().filter(|alias| alias.name.as_str() != "*") {
                let (name, range): (&Identifier, _) = (&alias.name, alias.range());
                if module.as_str() != "__future__"
                    && !self.underscored(name, range)
                    && !self.member(module, name, range)
                {
                    self.anywhere(name, range);
                }
            }
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Attribute(attribute) = expr {
            self.attribute(attribute);
        }
        walk_expr(self, expr);
    }

    /// `case object(__class__=c)` reads an attribute as well.
    fn visit_pattern_keyword(&mut self, keyword: &'a PatternKeyword) {
        self.underscored(&keyword.attr, keyword.attr.range());
        walk_pattern_keyword(self, keyword);
    }
}
