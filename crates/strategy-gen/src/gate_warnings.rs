//! Warnings: the usual forms of looking ahead. They stop nothing, for some are honest; the judge tells.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, ExprSlice, ModModule, Stmt, UnaryOp};
use ruff_text_size::{Ranged, TextRange};

use crate::finding::{Finding, Rule};

/// Methods whose first argument is a number of bars.
const SHIFTS: [&str; 3] = ["diff", "pct_change", "shift"];

/// What the module should be asked about, in the order of its lines.
pub(crate) fn of(code: &str, module: &ModModule) -> Vec<Finding> {
    let mut visitor = WarningVisitor { code, found: Vec::new(), in_init: false };
    visitor.visit_body(&module.body);
    let mut found = visitor.found;
    found.sort_by_key(|finding| (finding.line, finding.column));
    found
}

struct WarningVisitor<'g> {
    code: &'g str,
    found: Vec<Finding>,
    in_init: bool,
}

impl WarningVisitor<'_> {
    fn warn(&mut self, rule: Rule, range: TextRange, message: &str, hint: &str) {
        self.found.push(Finding::at(rule, self.code, range.start(), message, hint));
    }

    fn call(&mut self, call: &ExprCall) {
        let name = call.func.as_attribute_expr().map_or("", |attribute| attribute.attr.as_str());
        let periods = |position| call.arguments.find_argument_value("periods", position);
        let back = match name {
            "roll" => call.arguments.find_argument_value("shift", 1),
            _ if SHIFTS.contains(&name) => periods(0),
            _ => None,
        };
        if back.is_some_and(is_negative) {
            let hint = "Use values of this bar and of earlier ones.";
            self.warn(
                Rule::NegativeShift,
                call.range(),
                &format!("{name} brings later bars to this one"),
                hint,
            );
        }
        let centered = call.arguments.keywords.iter().find(|keyword| {
            keyword.arg.as_deref() == Some("center")
                && keyword.value.as_boolean_literal_expr().is_some_and(|literal| literal.value)
        });
        if let Some(keyword) = centered {
            let hint = "Leave center out: the window then ends at its bar.";
            self.warn(
                Rule::CenteredWindow,
                keyword.range(),
                "half of a centred window is in the future",
                hint,
            );
        }
    }
}

/// `-n`.
fn is_negative(expr: &Expr) -> bool {
    expr.as_unary_op_expr().is_some_and(|unary| unary.op == UnaryOp::USub)
}

/// `[::-1]`
fn is_reversal(slice: &ExprSlice) -> bool {
    slice.lower.is_none() && slice.upper.is_none() && slice.step.as_deref().is_some_and(is_negative)
}

/// `self.data.df`
fn is_frame(expr: &Expr) -> bool {
    let Some(df) = expr.as_attribute_expr().filter(|attribute| attribute.attr.as_str() == "df") else {
        return false;
    };
    df.value.as_attribute_expr().is_some_and(|data| {
        data.attr.as_str() == "data" && data.value.as_name_expr().is_some_and(|name| name.id == "self")
    })
}

impl<'a> Visitor<'a> for WarningVisitor<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let Stmt::FunctionDef(def) = stmt else { return walk_stmt(self, stmt) };
        let before = std::mem::replace(&mut self.in_init, def.name.as_str() == "init");
        walk_stmt(self, stmt);
        self.in_init = before;
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Call(call) => self.call(call),
            Expr::Slice(slice) if is_reversal(slice) => {
                let hint = "Harmless for weights; a price series must stay in its order.";
                self.warn(Rule::ReversedSeries, slice.range(), "turned round, the end comes first", hint);
            }
            _ if self.in_init && is_frame(expr) => {
                let hint = "Harmless where only earlier rows are used; keep no reference to it.";
                self.warn(Rule::FrameInInit, expr.range(), "the frame holds all bars to come", hint);
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}
