//! Replies as models write them, and the module that is in them.

#![expect(clippy::panic, reason = "how a test fails")]

use strategy_gen::extract;

const MODULE: &str = "from backtesting import Strategy\n\n\nclass A(Strategy):\n    n = 1\n\n    def init(self):\n        \
                      pass\n\n    def next(self):\n        pass";

fn code(reply: &str) -> String {
    extract(reply).unwrap_or_else(|| panic!("nothing found in {reply:?}")).code
}

fn indented(text: &str, by: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("{by}{line}") })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn one_fence_whatever_its_tag_or_mark() {
    for (open, close) in [
        ("```python", "```"),
        ("```Python3", "```"),
        ("```py", "```"),
        ("```", "```"),
        ("``` python", "```"),
        ("```python title=\"a.py\"", "```"),
        ("```{.python}", "```"),
        ("```python:main.py", "```"),
        ("````python", "````"),
        ("~~~python", "~~~"),
        ("~~~~", "~~~~~"),
    ] {
        for (before, after) in
            [("", ""), ("Here it is.\n\n", "\n\nGood luck!"), ("import is easy:\n", "\n- a\n")]
        {
            assert_eq!(code(&format!("{before}{open}\n{MODULE}\n{close}{after}")), MODULE, "{open}");
        }
    }
}

#[test]
fn the_tag_never_lands_in_the_code() {
    // The original left "py" as the first line.
    assert!(!code(&format!("```py\n{MODULE}\n```")).starts_with("py"));
}

#[test]
fn line_ends_and_marks_of_other_systems() {
    let reply = format!("\u{feff}```python\n{MODULE}\n```\n");
    assert_eq!(code(&reply.replace('\n', "\r\n")), MODULE);
    assert_eq!(code(&reply.replace('\n', "\r")), MODULE);
}

#[test]
fn indented_fences_lose_the_indent() {
    for by in ["  ", "    ", "\t"] {
        let reply = format!("1. Save this:\n\n{}", indented(&format!("```python\n{MODULE}\n```"), by));
        assert_eq!(code(&reply), MODULE, "{by:?}");
    }
    assert_eq!(code(&format!("```python\n{}\n```", indented(MODULE, "    "))), MODULE);
}

#[test]
fn of_several_fences_the_one_with_the_strategy() {
    let other = "import numpy as np\n".repeat(50);
    let reply = format!("```bash\npip install backtesting\n```\n```python\n{other}```\n```\n{MODULE}\n```\n");
    assert_eq!(code(&reply), MODULE);
}

#[test]
fn of_two_strategies_the_longer_one_and_of_equals_the_later_one() {
    let short = "class B(Strategy):\n    pass";
    assert_eq!(code(&format!("```python\n{MODULE}\n```\nUsage:\n```python\n{short}\n```")), MODULE);
    let (first, second) = ("class B(Strategy): pass", "class C(Strategy): pass");
    assert_eq!(code(&format!("```python\n{first}\n```\n```python\n{second}\n```")), second);
}

#[test]
fn without_a_strategy_the_longest_python_fence() {
    let reply = "```json\n{\"long\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n```\n```python\nx = 1\n```\n```py\nxyz = 12\n```";
    assert_eq!(code(reply), "xyz = 12");
}

#[test]
fn a_closed_fence_is_preferred_to_a_longer_unclosed_one() {
    let found = extract(&format!("```python\n{MODULE}\n```\nOr:\n```python\n{MODULE}\n# and so on")).unwrap();
    assert_eq!((found.code.as_str(), found.unclosed), (MODULE, false));
}

#[test]
fn an_unclosed_fence_is_taken_and_reported() {
    let found = extract(&format!("Sure!\n```python\n{MODULE}\n")).unwrap();
    assert_eq!((found.code.as_str(), found.unclosed), (MODULE, true));
    assert!(!extract(&format!("```python\n{MODULE}\n```")).unwrap().unclosed);
}

#[test]
fn a_closing_fence_may_be_glued_to_the_code() {
    let found = extract(&format!("```python\n{MODULE}```\n\n")).unwrap();
    assert_eq!((found.code.as_str(), found.unclosed), (MODULE, false));
}

#[test]
fn a_fence_in_a_docstring_does_not_end_the_block() {
    let module = "class A(Strategy):\n    \"\"\"\n    ```\n    text\n    ```\n    \"\"\"\n    n = 1";
    assert_eq!(code(&format!("```python\n{module}\n```")), module);
}

#[test]
fn python_inside_a_markdown_block() {
    assert_eq!(code(&format!("```markdown\n# Title\n```python\n{MODULE}\n```\n```\n")), MODULE);
}

#[test]
fn a_fence_after_prose_on_its_line() {
    assert_eq!(code(&format!("Here is the strategy: ```python\n{MODULE}\n```")), MODULE);
}

#[test]
fn bare_code_with_prose_around_it() {
    for before in
        ["", "Sure, here is the module.\n\n", "From here on it is yours:\n", "import duties rose, so:\n"]
    {
        for after in ["", "\n\nThis buys (and sells) well.", "\n\nNotes:\n\n1. Keep n small.\n2. Test it."] {
            assert_eq!(code(&format!("{before}{MODULE}{after}")), MODULE, "{before:?} {after:?}");
        }
    }
    let commented = format!("# A strategy.\n{MODULE}");
    assert_eq!(code(&format!("Sure.\n\n{commented}\n\nBye.")), commented);
    let ended = format!("{MODULE}\n\n\nif __name__ == \"__main__\":\n    main()");
    assert_eq!(code(&format!("{ended}\n\nRun it.")), ended);
    assert_eq!(code(&format!("Save it:\n\n{}\n\nBye.", indented(MODULE, "    "))), MODULE);
}

#[test]
fn prose_has_no_code() {
    for reply in [
        "",
        " \n\n",
        "I cannot help with that.",
        "Which period do you want? From 2010 to 2020, or class: any?",
        "import duties rose\nfrom my point of view, class struggles (def.)",
        "```json\n{\"a\": 1}\n```",
        "Use ```x = 1``` there.",
        "```",
        "```python",
        "```python\n\n```",
        "~~~",
    ] {
        assert_eq!(extract(reply), None, "{reply:?}");
    }
}

#[test]
fn long_degenerate_replies_are_read_in_linear_time() {
    // Anything quadratic would need minutes for one of these.
    for part in
        ["```\n", "```python\n", "`", "~~~\n    ", "import a\n", "class A(Strategy):\n", "\n", "# \n", "    "]
    {
        let reply = part.repeat(300_000 / part.len());
        let _ = extract(&reply);
    }
}
