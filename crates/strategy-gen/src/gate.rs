//! The static gate: what a module may contain, judged from its syntax tree before anything is run.
//!
//! It keeps honest mistakes and the usual mischief from being run at all, and says where and why. It is no
//! wall: that is the sandbox.

use crate::finding::Findings;
use crate::syntax::{Checked, parse, the_strategy};
use crate::{gate_attributes, gate_calls, gate_imports, gate_names, gate_warnings};

/// The rules, and the modules that may be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    allowed: Vec<String>,
}

impl Gate {
    /// Allows a module, with all that is below it, beside [`Gate::MODULES`].
    #[must_use]
    pub fn allow(mut self, module: impl Into<String>) -> Self {
        self.allowed.push(module.into());
        self
    }

    /// Parses a module and applies every rule.
    ///
    /// The error is the first thing that Python would not parse, or else all that is wrong.
    ///
    /// ```
    /// use strategy_gen::{Gate, Rule};
    ///
    /// let code = "import os\nfrom backtesting import Strategy\n";
    /// let findings = Gate::default().check(code).unwrap_err();
    /// assert!(findings.has(Rule::Import) && findings.has(Rule::NoStrategy));
    /// ```
    pub fn check(&self, code: &str) -> Result<Checked, Findings> {
        let parsed = parse(code)?;
        let module = parsed.syntax();
        let mut found = Vec::new();
        gate_imports::check(self, code, module, &mut found);
        gate_names::check(code, module, &mut found);
        gate_attributes::check(self, code, module, &mut found);
        gate_calls::check(code, module, &mut found);
        match the_strategy(code, module) {
            Ok(class) => match Findings::of(found) {
                None => Ok(Checked::new(&parsed, class, gate_warnings::of(code, module))),
                Some(findings) => Err(findings),
            },
            Err(finding) => {
                found.push(finding.clone());
                Err(Findings::of(found).unwrap_or_else(|| finding.into()))
            }
        }
    }

    /// True if the user has allowed this module or one above it.
    pub(crate) fn is_allowed_by_user(&self, module: &str) -> bool {
        let below = |of: &str| module.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
        self.allowed.iter().any(|allowed| allowed == module || below(allowed))
    }
}
