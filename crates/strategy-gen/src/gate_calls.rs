//! Rule `top-level-call`: importing a module defines things and does nothing.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{CmpOp, Decorator, Expr, ModModule, Stmt, StmtClassDef, StmtIf};
use ruff_text_size::Ranged;

use crate::finding::{Finding, Rule};

/// Functions that make a type.
const TYPES: [&str; 6] = ["NamedTuple", "NewType", "ParamSpec", "TypeVar", "TypedDict", "namedtuple"];

/// Bases of classes whose members may be made by calls.
const RECORDS: [&str; 7] = ["Enum", "Flag", "IntEnum", "IntFlag", "NamedTuple", "StrEnum", "TypedDict"];

pub(crate) fn check(code: &str, module: &ModModule, found: &mut Vec<Finding>) {
    let classes = module.body.iter().filter_map(Stmt::as_class_def_stmt);
    let records = classes.filter(|class| is_record(class)).map(|class| class.name.as_str()).collect();
    CallVisitor { code, found, records }.visit_body(&module.body);
}

struct CallVisitor<'a, 'g> {
    code: &'g str,
    found: &'g mut Vec<Finding>,
    /// Enums and dataclasses of the module.
    records: BTreeSet<&'a str>,
}

/// The last part of a dotted name.
fn last_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Name(name) => Some(&name.id),
        Expr::Attribute(attribute) => Some(&attribute.attr),
        _ => None,
    }
}

fn is_record(class: &StmtClassDef) -> bool {
    let decorated = class.decorator_list.iter().any(|decorator| {
        let called = decorator.expression.as_call_expr().map_or(&decorator.expression, |call| &call.func);
        last_name(called) == Some("dataclass")
    });
    decorated || class.bases().iter().filter_map(last_name).any(|base| RECORDS.contains(&base))
}

/// Exactly `if __name__ == "__main__"`, without an `else`.
fn is_main(stmt: &StmtIf) -> bool {
    let Expr::Compare(compare) = stmt.test.as_ref() else { return false };
    let ([CmpOp::Eq], [right]) = (&*compare.ops, &*compare.comparators) else { return false };
    let name = |expr: &Expr| expr.as_name_expr().is_some_and(|name| name.id == "__name__");
    let main =
        |expr: &Expr| expr.as_string_literal_expr().is_some_and(|text| text.value.to_str() == "__main__");
    let left = compare.left.as_ref();
    ((name(left) && main(right)) || (main(left) && name(right))) && stmt.elif_else_clauses.is_empty()
}

impl<'a> Visitor<'a> for CallVisitor<'a, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::If(stmt) if is_main(stmt) => {}
            Stmt::FunctionDef(def) => {
                def.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                self.visit_parameters(&def.parameters);
                def.returns.iter().for_each(|returns| self.visit_annotation(returns));
            }
            Stmt::ClassDef(class) if is_record(class) => {
                class.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                class.arguments.iter().for_each(|arguments| self.visit_arguments(arguments));
                for stmt in
                    class.body.iter().filter(|stmt| !stmt.is_assign_stmt() && !stmt.is_ann_assign_stmt())
                {
                    self.visit_stmt(stmt);
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_decorator(&mut self, decorator: &'a Decorator) {
        match &decorator.expression {
            Expr::Call(call) => self.visit_arguments(&call.arguments),
            other => self.visit_expr(other),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Lambda(lambda) => {
                lambda.parameters.iter().for_each(|parameters| self.visit_parameters(parameters));
            }
            Expr::Call(call) => {
                let made =
                    call.func.as_name_expr().is_some_and(|name| self.records.contains(name.id.as_str()));
                let makes_type = last_name(&call.func).is_some_and(|name| TYPES.contains(&name));
                if !made && !makes_type {
                    let message = "a call outside of functions runs when the module is imported";
                    let hint = "Move it into init or next, or below if __name__ == \"__main__\":";
                    self.found.push(Finding::at(
                        Rule::TopLevelCall,
                        self.code,
                        call.range().start(),
                        message,
                        hint,
                    ));
                }
                walk_expr(self, expr);
            }
            _ => walk_expr(self, expr),
        }
    }
}
