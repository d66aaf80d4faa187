//! What the static check accepts, and what it says about the rest.

#![expect(clippy::expect_used, reason = "how a test fails")]

use strategy_gen::{Checked, Finding, Findings, Gate, Rule};

const BODY: &str = "    def init(self):\n        pass\n\n    def next(self):\n        pass\n";

fn strategy(imports: &str, base: &str) -> String {
    format!("{imports}\n\nclass A({base}):\n{BODY}")
}

fn check(code: &str) -> Result<Checked, Findings> {
    // Some of these strategies derive from classes of other modules.
    Gate::default().allow("mine").check(code)
}

fn finding(code: &str) -> Finding {
    check(code).expect_err("it should have been refused").first().clone()
}

#[test]
fn strategies_are_found_by_whatever_name_they_were_imported() {
    for (imports, base) in [
        ("from backtesting import Strategy", "Strategy"),
        ("from backtesting import Backtest, Strategy as S", "S"),
        ("from backtesting.backtesting import Strategy", "Strategy"),
        ("from backtesting import *", "Strategy"),
        ("import backtesting", "backtesting.Strategy"),
        ("import backtesting as bt", "bt.Strategy"),
        ("import backtesting.lib", "backtesting.Strategy"),
        ("from backtesting.lib import TrailingStrategy", "TrailingStrategy"),
        ("import backtesting.lib as lib", "lib.SignalStrategy"),
        ("try:\n    from backtesting import Strategy\nexcept ImportError:\n    raise", "Strategy"),
        ("from backtesting import Strategy\nclass Mixin: pass", "Mixin, Strategy"),
    ] {
        let code = strategy(imports, base);
        assert_eq!(check(&code).unwrap_or_else(|finding| panic!("{code}\n{finding}")).class_name, "A");
    }
}

#[test]
fn classes_that_only_look_like_strategies_are_refused() {
    for (imports, base) in [
        ("from mine import Strategy", "Strategy"),
        ("import mine", "mine.Strategy"),
        ("from backtesting import Backtest", "Backtest"),
        ("", "object"),
        ("from backtesting import Strategy", "make(Strategy)"),
    ] {
        assert_eq!(finding(&strategy(imports, base)).rule, Rule::NoStrategy, "{imports} {base}");
    }
    assert_eq!(finding("x = 1\n").rule, Rule::NoStrategy);
    let nested =
        format!("from backtesting import Strategy\ndef f():\n    class A(Strategy):\n        pass\n{}", "");
    assert_eq!(finding(&nested).rule, Rule::NoStrategy);
}

#[test]
fn a_missing_import_is_named() {
    let found = finding(&strategy("import numpy as np", "Strategy"));
    assert_eq!((found.rule, found.line, found.column), (Rule::StrategyImport, 3, 9));
    assert!(found.hint.contains("from backtesting import Strategy"));
}

#[test]
fn both_methods_are_needed() {
    for missing in ["init", "next"] {
        let code = strategy("from backtesting import Strategy", "Strategy")
            .replace(&format!("def {missing}("), "def other(");
        let found = finding(&code);
        assert_eq!((found.rule, found.line, found.column), (Rule::MissingMethod, 3, 7));
        assert!(found.message.contains(missing), "{found}");
    }
}

#[test]
fn exactly_one_strategy() {
    let one = strategy("from backtesting import Strategy", "Strategy");
    for base in ["Strategy", "A"] {
        let found = finding(&format!("{one}\n\nclass B({base}):\n{BODY}"));
        assert_eq!(
            (found.rule, found.source_line.as_str()),
            (Rule::SeveralStrategies, format!("class B({base}):").as_str())
        );
        assert!(found.message.contains("A and B"), "{found}");
    }
    assert_eq!(check(&format!("{one}\n\nclass Helper:\n    pass\n")).unwrap().class_name, "A");
}

#[test]
fn syntax_errors_have_line_column_message_and_the_line() {
    for (code, line, column, says) in [
        ("class A:\n    def next(self)\n        pass\n", 2, 19, "`:`"),
        ("x = (1,\n\n", 1, 8, ""),
        ("def f():\nreturn 1\n", 2, 1, "indented block"),
        ("```python\nx = 1\n```\n", 1, 1, ""),
        ("x = 'abc\n", 1, 5, "string"),
        ("if True:\n    a = 1\n  b = 2\n", 3, 1, "indent"),
        ("größe = = 1\n", 1, 9, ""),
    ] {
        let found = finding(code);
        assert_eq!(found.rule, Rule::Syntax, "{code}");
        assert_eq!((found.line, found.column), (line, column), "{code}\n{found}");
        assert_eq!(found.source_line, code.lines().nth(line - 1).unwrap_or_default());
        assert!(found.message.contains(says), "{found}");
    }
}

#[test]
fn syntax_of_newer_pythons_is_refused() {
    let code = strategy("from backtesting import Strategy\ntype X = int", "Strategy");
    let found = finding(&code);
    assert_eq!((found.rule, found.line), (Rule::Syntax, 2));
    assert!(found.message.contains("3.12"), "{found}");
    check(&strategy("from backtesting import Strategy\nmatch 1:\n    case 1:\n        x = 1", "Strategy"))
        .unwrap();
}

#[test]
fn endless_nesting_is_a_finding_and_not_the_end_of_the_process() {
    for repeated in ["-", "(", "1 + (", "a.", "f(", "lambda a, b: ", "not "] {
        let found = finding(&format!("import math\nx = {}1\n", repeated.repeat(50_000)));
        assert_eq!((found.rule, found.line), (Rule::Nesting, 2), "{repeated}");
    }
}

#[test]
fn a_class_is_renamed_wherever_its_name_stands_and_nowhere_else() {
    let code = format!(
        "from backtesting import Strategy\n\n\nclass A(Strategy):  # A\n{BODY}        A.n = 'A'\n\n\nAB = A\n"
    );
    let renamed = check(&code).unwrap().rename(&code, "Cross").unwrap();
    let expected = format!(
        "from backtesting import Strategy\n\n\nclass Cross(Strategy):  # A\n{BODY}        Cross.n = 'A'\n\n\nAB = Cross\n"
    );
    assert_eq!(renamed, expected);
    assert_eq!(check(&renamed).unwrap().class_name, "Cross");
    let taken = check(&code).unwrap().rename(&code, "AB").unwrap_err();
    assert_eq!((taken.rule, taken.line, taken.column), (Rule::ClassName, 13, 1));
}
