//! The static gate: the replies of the corpus, and the forms that its rules have to tell apart.

use strategy_gen::{Checked, Findings, Gate, Rule, extract};

use crate::table::{order, reply, rows};

#[test]
fn each_reply_of_the_corpus_passes_the_gate_or_ends_at_it_as_the_table_says() {
    for row in rows().iter().filter(|row| row.finish == "STOP" && row.stage != "extract") {
        let found = extract(&reply(row)).expect("there is a module in it");
        let checked = Gate::default().check(&found.code);
        if row.stage != "gate" {
            let checked = checked.unwrap_or_else(|findings| panic!("{}: {findings}", row.file));
            let warnings: Vec<&str> = checked.warnings.iter().map(|finding| finding.rule.name()).collect();
            for wanted in &row.warnings {
                assert!(warnings.contains(&wanted.as_str()), "{}: {warnings:?}", row.file);
            }
            let known = |warning: &&str| row.warnings.iter().any(|wanted| wanted == warning);
            assert!(row.kind != "honest" || warnings.iter().all(known), "{}: {warnings:?}", row.file);
            continue;
        }
        assert!(order("gate") < order("verified"));
        let findings = checked.err().unwrap_or_else(|| panic!("{} has passed", row.file));
        let reason = row.reason.as_deref().expect("the table is consistent");
        let here = findings.iter().find(|finding| {
            let at = row.at.as_deref().is_none_or(|at| finding.source_line.contains(at));
            finding.rule.name() == reason && at
        });
        assert!(here.is_some(), "{}: {reason} at {:?} expected\n{findings}", row.file, row.at);
        for finding in findings.iter() {
            assert!(!finding.hint.is_empty() && !finding.rule.is_warning(), "{}: {finding}", row.file);
        }
    }
}

fn module(lines: &str) -> String {
    format!(
        "import numpy as np\nimport pandas as pd\nfrom backtesting import Strategy\n{lines}\n\n\n\
         class A(Strategy):\n    def init(self):\n        pass\n\n    def next(self):\n        pass\n"
    )
}

fn check(lines: &str) -> Result<Checked, Findings> {
    Gate::default().check(&module(lines))
}

fn refused(rule: Rule, lines: &[&str]) {
    for lines in lines {
        let findings = check(lines).expect_err(lines);
        assert!(findings.has(rule), "{lines}\n{findings}");
        assert!(findings.iter().all(|finding| finding.line > 3), "{lines}\n{findings}");
    }
}

fn allowed(lines: &[&str]) {
    for lines in lines {
        if let Err(findings) = check(lines) {
            panic!("{lines}\n{findings}");
        }
    }
}

#[test]
fn variables_that_are_called_like_forbidden_functions_are_variables() {
    allowed(&[
        "def f(open, close):\n    return close - open",
        "def f(frame):\n    open = frame['Open']\n    def g():\n        return open\n    return g",
        "def f(prices):\n    return [id for id in prices]",
        "f = lambda input: input + 1",
        "def f(x):\n    for hash, dir in x:\n        return hash + dir",
        "class Bar:\n    open: float = 0.0",
        "def f(bar):\n    return bar.open + bar.id",
        "def f(x):\n    match x:\n        case [id, *input]:\n            return id, input",
        "def f(x):\n    try:\n        x()\n    except ValueError as input:\n        return input",
    ]);
    refused(
        Rule::ForbiddenName,
        &[
            "def f(x):\n    return open(x)",
            "read = open",
            "def f():\n    global open\n    open = open",
            "def f():\n    def g():\n        open = 1\n    return open",
            "class B:\n    open = 1\n    def f(self):\n        return open",
            "def f():\n    return [x for x in [eval]]",
            "f = lambda x: getattr(x, 'y')",
            "def f(x=vars):\n    return x",
        ],
    );
}

#[test]
fn underscores_are_for_what_the_class_made_itself() {
    allowed(&[
        "class B:\n    def __init__(self):\n        super().__init__()\n        self._n = 1\n    def f(self):\n        return self._n",
        "class B:\n    _n = 1\n    def _f(self):\n        return self._n\n    def g(self):\n        return self._f()",
        "def f(bar):\n    return bar._replace(open=1)",
        "def f(x):\n    for _ in x:\n        return x",
    ]);
    refused(
        Rule::Private,
        &[
            "def f(s):\n    return s._broker",
            "class B:\n    def f(self):\n        self._broker = self._broker",
            "class B:\n    def f(self):\n        self._Data__df = self.data._Data__df",
            "from backtesting.lib import _Array",
            "def f(x):\n    match x:\n        case object(_cash=c):\n            return c",
        ],
    );
    refused(
        Rule::Dunder,
        &[
            "def f(x):\n    return x.__class__",
            "def f(x):\n    return super().__getattribute__(x)",
            "def f(x):\n    match x:\n        case object(__class__=c):\n            return c",
            "def f():\n    return __builtins__",
            "def f(x):\n    del x.__dict__",
        ],
    );
}

#[test]
fn files_text_and_other_modules_are_out_of_reach() {
    allowed(&[
        "def f(x):\n    return x.to_numpy(), x.to_list(), pd.to_datetime(x), np.random.default_rng(7)",
        "def f(x):\n    return np.lib.stride_tricks.sliding_window_view(x, 3), np.linalg.lstsq(x, x)",
        "from collections.abc import Sequence",
        "from numpy.typing import NDArray",
        "class B:\n    def query(self):\n        return 1\n    def f(self):\n        return self.query()",
        "def f(x):\n    return x.random, x.types, x.load, x.os",
    ]);
    refused(
        Rule::ForbiddenAttribute,
        &[
            "def f(x):\n    return x.query('a > 1')",
            "def f(x):\n    return np.load(x)",
            "def f():\n    import numpy as n\n    return n.loadtxt",
            "def f():\n    return pd.io.common",
            "import statistics\ndef f():\n    return statistics.random.random()",
            "from statistics import sys",
            "from backtesting import Pool",
            "def f(x):\n    x.to_pickle('x')",
        ],
    );
    refused(
        Rule::Import,
        &[
            "import os.path",
            "from numpy import *",
            "from . import a",
            "import numpy.lib.npyio",
            "from os import *",
        ],
    );
}

#[test]
fn a_module_of_the_users_list_may_be_imported_with_what_is_below_it() {
    let code = module("import scipy.stats\nfrom scipy import signal\nfrom scipy import *");
    assert!(Gate::default().check(&code).expect_err("not on the list").has(Rule::Import));
    Gate::default().allow("scipy").check(&code).expect("on the list");
    assert!(Gate::default().allow("sci").check(&code).is_err());
}

#[test]
fn importing_a_module_does_nothing() {
    allowed(&[
        "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass B:\n    x: list = field(default_factory=list)\nC = B()",
        "import enum\nclass E(enum.Enum):\n    A = enum.auto()",
        "from collections import namedtuple\nBar = namedtuple('Bar', 'open close')",
        "if __name__ == '__main__':\n    print(1)",
        "if '__main__' == __name__:\n    print(1)",
        "f = lambda: print(1)",
        "class B:\n    @property\n    def x(self):\n        return print(1)",
    ]);
    refused(
        Rule::TopLevelCall,
        &[
            "print(1)",
            "if __name__ == '__main__':\n    pass\nelse:\n    print(1)",
            "if __name__ == '__main__' or True:\n    print(1)",
            "for x in range(3):\n    pass",
            "def f(x=print(1)):\n    pass",
            "class B(print(1)):\n    pass",
            "class B:\n    x = print(1)",
            "x = [print(y) for y in 'ab']",
            "x = f'{print(1)}'",
            "f = lambda x=print(1): x",
            "import enum\nclass E(enum.Enum):\n    print(1)",
            "def d(x):\n    return x\n@d(print(1))\ndef f():\n    pass",
        ],
    );
}

#[test]
fn all_that_is_wrong_is_found_in_the_order_of_the_lines() {
    let code =
        "import os\nx = eval('1')\n\n\nclass A:\n    def f(self):\n        return self.data._x.__y__\n";
    let findings = Gate::default().check(code).expect_err("much is wrong");
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.name()).collect();
    assert_eq!(rules, ["no-strategy", "import", "forbidden-name", "top-level-call", "private", "dunder"]);
    let last = findings.iter().last().expect("there are six");
    assert_eq!((last.line, last.column), (7, 29));
}
