//! Rule `forbidden-name`: built-in functions that run text, open files, look around, or differ from run to run.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_pattern, walk_stmt};
use ruff_python_ast::{Comprehension, ExceptHandler, Expr, ModModule, Parameters, Pattern, Stmt};
use ruff_text_size::{Ranged, TextRange};

use crate::finding::{Finding, Rule};
use crate::gate_attributes::is_dunder;

/// Each with what is wrong with it.
const FORBIDDEN: [(&str, &str); 22] = [
    ("__import__", IMPORTS),
    ("breakpoint", LOOKS),
    ("compile", RUNS_TEXT),
    ("copyright", LOOKS),
    ("credits", LOOKS),
    ("delattr", BY_NAME),
    ("dir", LOOKS),
    ("eval", RUNS_TEXT),
    ("exec", RUNS_TEXT),
    ("exit", "ends the program"),
    ("getattr", BY_NAME),
    ("globals", LOOKS),
    ("hash", DIFFERS),
    ("help", LOOKS),
    ("id", DIFFERS),
    ("input", "waits for a person"),
    ("license", LOOKS),
    ("locals", LOOKS),
    ("open", "opens files"),
    ("quit", "ends the program"),
    ("setattr", BY_NAME),
    ("vars", LOOKS),
];

const BY_NAME: &str = "reaches attributes by a text";
const DIFFERS: &str = "differs from one run to the next";
const IMPORTS: &str = "imports by a text";
const LOOKS: &str = "looks into the program around the strategy";
const RUNS_TEXT: &str = "runs text as code";

pub(crate) fn check(code: &str, module: &ModModule, found: &mut Vec<Finding>) {
    NameVisitor { code, found, scopes: Vec::new() }.visit_body(&module.body);
}

/// Knows which names are variables of the functions around it: a price called `open` is no file.
struct NameVisitor<'a, 'g> {
    code: &'g str,
    found: &'g mut Vec<Finding>,
    scopes: Vec<BTreeSet<&'a str>>,
}

impl<'a> NameVisitor<'a, '_> {
    fn used(&mut self, name: &str, range: TextRange) {
        let Some((_, why)) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == name) else {
            if is_dunder(name) && name != "__name__" && name != "__debug__" {
                let (message, hint) = (format!("{name} belongs to the interpreter"), "Do without it.");
                self.found.push(Finding::at(Rule::Dunder, self.code, range.start(), message, hint));
            }
            return;
        };
        if self.scopes.iter().any(|scope| scope.contains(name)) {
            return;
        }
        let (rule, message) = (Rule::ForbiddenName, format!("{name} {why}"));
        let hint =
            "Write it without this function; for another name of a value, use a variable of a function.";
        self.found.push(Finding::at(rule, self.code, range.start(), message, hint));
    }

    fn inside(&mut self, scope: BTreeSet<&'a str>, visit: impl FnOnce(&mut Self)) {
        self.scopes.push(scope);
        visit(self);
        self.scopes.pop();
    }
}

impl<'a> Visitor<'a> for NameVisitor<'a, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let Stmt::FunctionDef(def) = stmt else { return walk_stmt(self, stmt) };
        def.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
        // Defaults and annotations belong to the scope around.
        self.visit_parameters(&def.parameters);
        def.returns.iter().for_each(|returns| self.visit_annotation(returns));
        let mut bound = Bound::of(&def.parameters);
        bound.visit_body(&def.body);
        self.inside(bound.finish(), |inside| inside.visit_body(&def.body));
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if name.ctx.is_load() => self.used(&name.id, name.range()),
            Expr::Lambda(lambda) => {
                let parameters = lambda.parameters.as_deref();
                parameters.iter().for_each(|parameters| self.visit_parameters(parameters));
                let bound = parameters.map(Bound::of).unwrap_or_default();
                self.inside(bound.finish(), |inside| inside.visit_expr(&lambda.body));
            }
            Expr::ListComp(of) => self.comprehension(expr, &of.generators),
            Expr::SetComp(of) => self.comprehension(expr, &of.generators),
            Expr::DictComp(of) => self.comprehension(expr, &of.generators),
            Expr::Generator(of) => self.comprehension(expr, &of.generators),
            _ => walk_expr(self, expr),
        }
    }
}

impl<'a> NameVisitor<'a, '_> {
    fn comprehension(&mut self, expr: &'a Expr, generators: &'a [Comprehension]) {
        let mut bound = Bound::default();
        generators.iter().for_each(|generator| bound.visit_expr(&generator.target));
        self.inside(bound.finish(), |inside| walk_expr(inside, expr));
    }
}

/// Names that are variables of one function.
#[derive(Default)]
struct Bound<'a> {
    names: BTreeSet<&'a str>,
    /// Names of `global` statements, which are variables of the module.
    global: BTreeSet<&'a str>,
}

impl<'a> Bound<'a> {
    fn of(parameters: &'a Parameters) -> Self {
        let names = parameters.iter().map(|parameter| parameter.name().as_str());
        Self { names: names.collect(), ..Self::default() }
    }

    fn finish(self) -> BTreeSet<&'a str> {
        self.names.difference(&self.global).copied().collect()
    }
}

impl<'a> Visitor<'a> for Bound<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            // Their bodies are scopes of their own.
            Stmt::FunctionDef(def) => drop(self.names.insert(&def.name)),
            Stmt::ClassDef(def) => drop(self.names.insert(&def.name)),
            Stmt::Global(global) => self.global.extend(global.names.iter().map(|name| name.as_str())),
            Stmt::Import(import) => {
                let names = import.names.iter().map(|alias| alias.asname.as_ref().unwrap_or(&alias.name));
                self.names.extend(names.map(|name| name.as_str()));
            }
            Stmt::ImportFrom(import) => {
                let names = import.names.iter().map(|alias| alias.asname.as_ref().unwrap_or(&alias.name));
                self.names.extend(names.map(|name| name.as_str()));
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if name.ctx.is_store() => drop(self.names.insert(&name.id)),
            // Assigns in the function around it.
            Expr::Lambda(_) => {}
            _ => walk_expr(self, expr),
        }
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        self.visit_expr(&comprehension.iter);
        comprehension.ifs.iter().for_each(|test| self.visit_expr(test));
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(clause) = handler;
        self.names.extend(clause.name.iter().map(|name| name.as_str()));
        ruff_python_ast::visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        match pattern {
            Pattern::MatchAs(of) => self.names.extend(of.name.iter().map(|name| name.as_str())),
            Pattern::MatchStar(of) => self.names.extend(of.name.iter().map(|name| name.as_str())),
            Pattern::MatchMapping(of) => self.names.extend(of.rest.iter().map(|name| name.as_str())),
            _ => {}
        }
        walk_pattern(self, pattern);
    }
}
