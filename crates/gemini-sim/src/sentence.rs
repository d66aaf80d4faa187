//! What a prompt asks for: the kind of strategy, its numbers, the class name.

/// The indicator that a prompt speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Rsi,
    MovingAverage { exponential: bool },
    Bollinger,
    Macd,
    Momentum,
}

/// `indicator < 30` and the like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) below: bool,
    pub(crate) value: f64,
}

/// The topic that is named first; a repair prompt may quote code further down.
pub(crate) fn topic(prompt: &str) -> Topic {
    for word in words(prompt) {
        match word.as_str() {
            "rsi" | "relative" => return Topic::Rsi,
            "macd" => return Topic::Macd,
            "bollinger" | "band" | "bands" => return Topic::Bollinger,
            "sma" | "smas" | "ma" | "moving" | "average" => {
                return Topic::MovingAverage { exponential: false };
            }
            "ema" | "emas" | "exponential" => return Topic::MovingAverage { exponential: true },
            _ => {}
        }
    }
    Topic::Momentum
}

/// When to buy and when to sell, as far as the prompt compares with numbers from 1 to 99.
pub(crate) fn thresholds(prompt: &str) -> (Option<Threshold>, Option<Threshold>) {
    let (mut entry, mut exit) = (None, None);
    let (mut selling, mut below) = (false, None);
    for word in words(prompt) {
        match word.as_str() {
            "buy" | "enter" | "long" => (selling, below) = (false, None),
            "sell" | "exit" | "close" => (selling, below) = (true, None),
            "<" | "<=" | "below" | "under" | "less" | "oversold" => below = Some(true),
            ">" | ">=" | "above" | "over" | "greater" | "exceeds" | "overbought" => below = Some(false),
            number => {
                let Some(value) = number.parse().ok().filter(|value| (1.0..100.0).contains(value)) else {
                    continue;
                };
                let Some(below) = below.take() else { continue };
                let side = if selling { &mut exit } else { &mut entry };
                side.get_or_insert(Threshold { below, value });
            }
        }
    }
    (entry, exit)
}

/// The whole numbers from 2 to 400 in the prompt, without percentages, in their order and once each.
pub(crate) fn periods(prompt: &str) -> Vec<u32> {
    let mut periods = Vec::new();
    for word in words(prompt) {
        let digits = word.strip_suffix("day").or_else(|| word.strip_suffix('d')).unwrap_or(&word);
        if let Ok(period) = digits.parse::<u32>()
            && (2..=400).contains(&period)
            && !periods.contains(&period)
        {
            periods.push(period);
        }
    }
    periods
}

/// The number right behind the indicator's name, or before `period`/`day`: `RSI(21)`, `21-period RSI`.
pub(crate) fn period_of(prompt: &str, indicator: &str) -> Option<u32> {
    let words = words(prompt);
    let valid = |word: &String| word.parse().ok().filter(|period| (2..=400).contains(period));
    let next_to = |(index, word): (usize, &String)| match word.as_str() {
        "period" | "day" | "bar" => words.get(index.checked_sub(1)?).and_then(valid),
        name if name == indicator => words.get(index + 1).and_then(valid),
        _ => None,
    };
    words.iter().enumerate().find_map(next_to)
}

/// The number before `standard deviations`, `std` or `sigma`.
pub(crate) fn deviations(prompt: &str) -> Option<f64> {
    let words = words(prompt);
    words.windows(2).find_map(|pair| {
        let named =
            matches!(pair[1].as_str(), "standard" | "std" | "stdev" | "sigma" | "sigmas" | "deviations");
        pair[0].parse().ok().filter(|value| named && (0.5..=5.0).contains(value))
    })
}

/// The class name that the text asks for: `class named Foo`, `class name: Foo`, `name the class Foo`; in a user's
/// prompt also `class Foo(`, as a repair prompt quotes it.
pub(crate) fn class_name(user: &str, system: &str) -> Option<String> {
    named_class(user, true).or_else(|| named_class(system, false))
}

fn named_class(text: &str, quoted_code: bool) -> Option<String> {
    let splits = |character: char| !(character.is_alphanumeric() || matches!(character, '_' | '('));
    let words: Vec<&str> = text.split(splits).filter(|word| !word.is_empty()).collect();
    words.iter().enumerate().find_map(|(index, word)| {
        if !(word.eq_ignore_ascii_case("class") || word.eq_ignore_ascii_case("class_name")) {
            return None;
        }
        let asked = index >= 2 && words[index - 1] == "the" && words[index - 2].eq_ignore_ascii_case("name");
        let fillers = ["named", "called", "name", "is", "must", "be", "exactly", "should"];
        let behind = &words[index + 1..];
        let skipped =
            behind.iter().take_while(|word| fillers.contains(&word.to_lowercase().as_str())).count();
        let candidate = behind.get(skipped)?;
        let name = candidate.split('(').next().unwrap_or_default();
        let explicit = asked || skipped > 0 || word.eq_ignore_ascii_case("class_name");
        let allowed = explicit || (quoted_code && candidate.contains('('));
        (allowed && is_class_name(name)).then(|| name.to_owned())
    })
}

fn is_class_name(name: &str) -> bool {
    let python = ["Strategy", "Backtest", "None", "True", "False"];
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        && !python.contains(&name)
}

/// Lower-case words, numbers and comparison signs; numbers with a percent sign are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let inner_point = character == '.'
            && word.ends_with(|last: char| last.is_ascii_digit())
            && characters.peek().is_some_and(char::is_ascii_digit);
        if character.is_alphanumeric() || inner_point {
            word.extend(character.to_lowercase());
            continue;
        }
        let finished = std::mem::take(&mut word);
        if !finished.is_empty() && character != '%' {
            words.push(finished);
        }
        if matches!(character, '<' | '>') {
            words.push(character.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(value: f64) -> Option<Threshold> {
        Some(Threshold { below: true, value })
    }

    fn above(value: f64) -> Option<Threshold> {
        Some(Threshold { below: false, value })
    }

    #[test]
    fn the_first_indicator_named_decides() {
        assert_eq!(topic("Buy when RSI < 30; the code used an SMA"), Topic::Rsi);
        assert_eq!(topic("20-day SMA crosses the 50-day SMA"), Topic::MovingAverage { exponential: false });
        assert_eq!(topic("fast EMA(12) over slow EMA(26)"), Topic::MovingAverage { exponential: true });
        assert_eq!(topic("buy at the lower Bollinger band"), Topic::Bollinger);
        assert_eq!(topic("MACD line crosses its signal"), Topic::Macd);
        assert_eq!(topic("the universe of stocks that rise"), Topic::Momentum);
    }

    #[test]
    fn thresholds_come_from_the_sentence() {
        assert_eq!(thresholds("Buy when RSI < 30, sell when RSI > 70"), (below(30.0), above(70.0)));
        assert_eq!(
            thresholds("Buy if RSI(14) drops below 25 and exit above 65.5."),
            (below(25.0), above(65.5))
        );
        assert_eq!(
            thresholds("Go long when RSI rises above 55; close when it is under 45"),
            (above(55.0), below(45.0))
        );
        assert_eq!(thresholds("sell when RSI >= 80"), (None, above(80.0)));
        assert_eq!(thresholds("use RSI with a 5% stop"), (None, None));
    }

    #[test]
    fn periods_are_numbers_without_percentages() {
        assert_eq!(periods("10-day SMA over the 30day SMA, stop 5%, again 10"), [10, 30]);
        assert_eq!(period_of("RSI(21) below 30", "rsi"), Some(21));
        assert_eq!(period_of("a 7-period RSI below 30", "rsi"), Some(7));
        assert_eq!(period_of("RSI < 30", "rsi"), None);
        assert_eq!(deviations("20-day Bollinger bands with 2.5 standard deviations"), Some(2.5));
    }

    #[test]
    fn a_class_name_is_found_where_it_is_asked_for() {
        let user = |text| class_name(text, "");
        assert_eq!(user("Use a class named `RsiBot`.").as_deref(), Some("RsiBot"));
        assert_eq!(user("Class name: Foo_2").as_deref(), Some("Foo_2"));
        assert_eq!(user("Name the class \"Bar\" please").as_deref(), Some("Bar"));
        assert_eq!(user("The class must be called Baz").as_deref(), Some("Baz"));
        assert_eq!(user("SyntaxError in:\nclass Old(Strategy)\n    n = 1").as_deref(), Some("Old"));
        assert_eq!(user("a class deriving from Strategy"), None);
        assert_eq!(class_name("Buy low", "Example: class RsiTrend(Strategy):"), None);
        assert_eq!(class_name("Buy low", "The class is named Wanted").as_deref(), Some("Wanted"));
    }
}
