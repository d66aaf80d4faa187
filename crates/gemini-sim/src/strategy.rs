//! The model's text: a strategy for backtesting.py that fits the prompt.

use serde_json::{Value, json};

use crate::schema;
use crate::sentence::{self, Threshold, Topic};

const IMPORTS: &str = "import pandas as pd\nfrom backtesting import Strategy\n";

/// A sentence, the code in a Python fence, a closing sentence. The same prompt gives the same text.
pub(crate) fn reply(prompt: &str, system: &str) -> String {
    if let Some(code) = repaired(prompt) {
        return format!("Here is the corrected module:\n\n```python\n{code}\n```\n");
    }
    let (what, code) = module(prompt, system);
    format!(
        "Here is a strategy that trades on {what}:\n\n```python\n{code}```\n\nThe numbers are class attributes, so that \
         they can be optimised."
    )
}

/// The same module as JSON of this schema: `code`, `assumptions`, and `parameters` with `name`, `value` and `meaning`, as
/// far as the schema names them.
pub(crate) fn structured(prompt: &str, system: &str, schema: &Value) -> String {
    let (what, code) = match repaired(prompt) {
        Some(code) => ("what the module trades on", code),
        None => module(prompt, system),
    };
    let parameters: Vec<Value> = attributes(&code)
        .map(|(name, value)| json!({"name": name, "value": value, "meaning": format!("{name} of {what}")}))
        .collect();
    let assumptions = ["Every entry uses all of the available cash."];
    schema::fill(schema, Some(&json!({"code": code, "assumptions": assumptions, "parameters": parameters})))
}

/// `    period = 14` in the body of the class.
fn attributes(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let body = code.lines().skip_while(|line| !line.starts_with("class ")).skip(1);
    let body = body.take_while(|line| !line.trim_start().starts_with("def "));
    body.filter_map(|line| line.strip_prefix("    ")?.split_once(" = "))
}

/// What the prompt is about, and a module for it.
fn module(prompt: &str, system: &str) -> (&'static str, String) {
    let topic = sentence::topic(prompt);
    let name = |default: &str| sentence::class_name(prompt, system).unwrap_or_else(|| default.to_owned());
    match topic {
        Topic::Rsi => ("the relative strength index", rsi(prompt, &name("RsiStrategy"))),
        Topic::MovingAverage { exponential: false } => {
            ("two simple moving averages", averages(prompt, &name("SmaCross"), false))
        }
        Topic::MovingAverage { exponential: true } => {
            ("two exponential moving averages", averages(prompt, &name("EmaCross"), true))
        }
        Topic::Bollinger => ("Bollinger bands", bollinger(prompt, &name("BollingerBands"))),
        Topic::Macd => ("MACD and its signal line", macd(prompt, &name("MacdCross"))),
        Topic::Momentum => ("momentum", momentum(&name("MomentumStrategy"))),
    }
}

/// The text with the first method's colon gone: no longer Python.
pub(crate) fn without_colon(text: &str) -> String {
    text.replacen("def init(self):", "def init(self)", 1)
}

/// The module that the prompt quotes in a fence, if [`without_colon`] has spoiled it, with its colon back.
fn repaired(prompt: &str) -> Option<String> {
    let spoiled = prompt.split("```").find(|block| block.contains("def init(self)\n"))?;
    let code = spoiled.strip_prefix("python").unwrap_or(spoiled);
    Some(code.trim().replacen("def init(self)\n", "def init(self):\n", 1))
}

fn rsi(prompt: &str, name: &str) -> String {
    let (entry, exit) = sentence::thresholds(prompt);
    let entry = entry.unwrap_or(Threshold { below: true, value: 30.0 });
    let exit = exit.unwrap_or(Threshold { below: !entry.below, value: 100.0 - entry.value });
    let period = sentence::period_of(prompt, "rsi").unwrap_or(14);
    let sign = |threshold: Threshold| if threshold.below { "<" } else { ">" };
    format!(
        r#"{IMPORTS}

def rsi(close, period):
    change = pd.Series(close).diff()
    gain = change.clip(lower=0).ewm(alpha=1 / period, min_periods=period).mean()
    loss = (-change.clip(upper=0)).ewm(alpha=1 / period, min_periods=period).mean()
    return 100 - 100 / (1 + gain / loss)


class {name}(Strategy):
    period = {period}
    entry = {entry}
    exit = {exit}

    def init(self):
        self.rsi = self.I(rsi, self.data.Close, self.period)

    def next(self):
        if not self.position and self.rsi[-1] {entry_sign} self.entry:
            self.buy()
        elif self.position and self.rsi[-1] {exit_sign} self.exit:
            self.position.close()
"#,
        entry = entry.value,
        exit = exit.value,
        entry_sign = sign(entry),
        exit_sign = sign(exit),
    )
}

fn averages(prompt: &str, name: &str, exponential: bool) -> String {
    let periods = sentence::periods(prompt);
    // One number alone means: the price against its average.
    let (fast, slow) = match periods[..] {
        [] => (10, 30),
        [only] => (1, only),
        [first, second, ..] => (first.min(second), first.max(second)),
    };
    let mean =
        if exponential { "ewm(span=period, min_periods=period).mean()" } else { "rolling(period).mean()" };
    format!(
        r#"{IMPORTS}from backtesting.lib import crossover


def average(close, period):
    return pd.Series(close).{mean}


class {name}(Strategy):
    fast = {fast}
    slow = {slow}

    def init(self):
        self.fast_average = self.I(average, self.data.Close, self.fast)
        self.slow_average = self.I(average, self.data.Close, self.slow)

    def next(self):
        if not self.position and crossover(self.fast_average, self.slow_average):
            self.buy()
        elif self.position and crossover(self.slow_average, self.fast_average):
            self.position.close()
"#
    )
}

fn bollinger(prompt: &str, name: &str) -> String {
    let deviations = sentence::deviations(prompt).unwrap_or(2.0);
    let period = sentence::periods(prompt).into_iter().find(|period| *period >= 5).unwrap_or(20);
    format!(
        r#"{IMPORTS}

def band(close, period, deviations):
    window = pd.Series(close).rolling(period)
    return window.mean() + deviations * window.std()


class {name}(Strategy):
    period = {period}
    deviations = {deviations}

    def init(self):
        close = self.data.Close
        self.upper = self.I(band, close, self.period, self.deviations)
        self.lower = self.I(band, close, self.period, -self.deviations)

    def next(self):
        price = self.data.Close[-1]
        if not self.position and price < self.lower[-1]:
            self.buy()
        elif self.position and price > self.upper[-1]:
            self.position.close()
"#
    )
}

fn macd(prompt: &str, name: &str) -> String {
    let (fast, slow, signal) = match sentence::periods(prompt)[..] {
        [fast, slow, signal, ..] if fast < slow => (fast, slow, signal),
        _ => (12, 26, 9),
    };
    format!(
        r#"{IMPORTS}from backtesting.lib import crossover


def ema(values, span):
    return pd.Series(values).ewm(span=span, min_periods=span).mean()


def macd(close, fast, slow):
    return ema(close, fast) - ema(close, slow)


def macd_signal(close, fast, slow, signal):
    return ema(macd(close, fast, slow), signal)


class {name}(Strategy):
    fast = {fast}
    slow = {slow}
    signal = {signal}

    def init(self):
        close = self.data.Close
        self.macd = self.I(macd, close, self.fast, self.slow)
        self.macd_signal = self.I(macd_signal, close, self.fast, self.slow, self.signal)

    def next(self):
        if not self.position and crossover(self.macd, self.macd_signal):
            self.buy()
        elif self.position and crossover(self.macd_signal, self.macd):
            self.position.close()
"#
    )
}

fn momentum(name: &str) -> String {
    format!(
        r#"{IMPORTS}

def change(close, period):
    return pd.Series(close).pct_change(period)


class {name}(Strategy):
    period = 20

    def init(self):
        self.change = self.I(change, self.data.Close, self.period)

    def next(self):
        if not self.position and self.change[-1] > 0:
            self.buy()
        elif self.position and self.change[-1] < 0:
            self.position.close()
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_sentence_are_in_the_code() {
        let text = reply("Buy when RSI(21) < 25, sell when RSI > 65. Name the class Dip", "");
        for line in
            ["class Dip(Strategy):", "period = 21", "entry = 25\n", "exit = 65\n", "[-1] < self.entry"]
        {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let text = reply("Buy when the 20-day SMA crosses above the 50-day SMA", "");
        assert!(text.contains("fast = 20\n    slow = 50\n"), "{text}");
        let text = reply("Bollinger bands, 30 days, 1.5 std", "");
        assert!(text.contains("period = 30\n    deviations = 1.5\n"), "{text}");
    }

    #[test]
    fn as_json_the_module_comes_with_its_attributes() {
        let text = |kind: &str| json!({"type": kind});
        let schema = json!({"type": "OBJECT", "properties": {
            "code": text("STRING"),
            "parameters": {"type": "ARRAY", "items": {"type": "OBJECT", "properties": {"name": text("STRING")}}},
        }});
        let answer: Value = serde_json::from_str(&structured("RSI(21) < 25", "", &schema)).unwrap();
        assert!(reply("RSI(21) < 25", "").contains(answer["code"].as_str().unwrap()));
        assert_eq!(answer["parameters"], json!([{"name": "period"}, {"name": "entry"}, {"name": "exit"}]));
        assert!(answer.get("assumptions").is_none());
    }

    #[test]
    fn a_missing_side_is_mirrored() {
        let text = reply("buy when rsi goes above 60", "");
        assert!(text.contains("[-1] > self.entry") && text.contains("[-1] < self.exit"), "{text}");
        assert!(text.contains("exit = 40\n"), "{text}");
    }

    #[test]
    fn bad_code_differs_by_one_colon() {
        let good = reply("MACD", "");
        let bad = without_colon(&good);
        assert_eq!(good.len(), bad.len() + 1);
    }

    #[test]
    fn a_repair_request_gets_the_same_module_without_the_error() {
        let good = reply("10-day SMA crosses the 40-day SMA", "");
        let code = |text: &str| text.split("```").nth(1).unwrap().trim().to_owned();
        let request = format!(
            "Correct this module.\n\nFinding: expected ':'\n\n```{}\n```",
            code(&without_colon(&good))
        );
        assert_eq!(code(&reply(&request, "")), code(&good));
    }
}
