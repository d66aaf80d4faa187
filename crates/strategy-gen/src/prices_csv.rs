//! The user's prices: finds the columns of a CSV file and says what is wrong with its lines.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

/// Fewer bars show nothing, and more take too long.
const BARS: std::ops::RangeInclusive<usize> = 60..=50_000;

/// Most that is shown of what is wrong.
const SHOWN_CHARS: usize = 200;

/// Names of the column with times, in lower case.
const TIMES: [&str; 7] = ["date", "datetime", "index", "time", "timestamp", "gmt time", "open time"];

/// Our columns, each with other names for it in lower case. The last one may be missing.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("Open", &["open", "o"]),
    ("High", &["high", "h"]),
    ("Low", &["low", "l"]),
    ("Close", &["close", "c", "last"]),
    ("Volume", &["volume", "vol", "v"]),
];

/// Why prices cannot be used: which file, where, what was found, what is allowed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PricesError {
    /// A column is missing.
    #[error("{name} has no column {column}; found {found}; needed are a time, Open, High, Low and Close")]
    MissingColumn {
        /// The file.
        name: String,
        /// What is missing.
        column: &'static str,
        /// What there is instead.
        found: String,
    },
    /// A line is shorter or longer than the first.
    #[error("{name} line {line} has {found} fields, the first line has {expected}")]
    Fields {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// In this line.
        found: usize,
        /// In the first line.
        expected: usize,
    },
    /// A time cannot be read.
    #[error(
        "{name} line {line}: {found:?} is no time; write 2024-01-31, 2024-01-31 15:30 or seconds since 1970"
    )]
    Time {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// What there is.
        found: String,
    },
    /// A price is missing or no number.
    #[error(
        "{name} line {line}: {column} is {found:?}; write a number such as 1234.5, and leave out lines without one"
    )]
    Number {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// Of which column.
        column: &'static str,
        /// What there is.
        found: String,
    },
    /// A price is zero or below, or high and low do not hold the others.
    #[error("{name} line {line}: {found}; prices are above 0, and Low <= Open, Close <= High")]
    Impossible {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// What there is.
        found: String,
    },
    /// The times do not rise.
    #[error("{name} line {line}: {found} comes after {before}; sort the lines by time")]
    Unsorted {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// This time.
        found: String,
        /// The time before.
        before: String,
    },
    /// A time is there twice.
    #[error("{name} line {line}: {found} is there twice; keep one line for each time")]
    Duplicate {
        /// The file.
        name: String,
        /// From 1.
        line: usize,
        /// The time.
        found: String,
    },
    /// Too few bars, or too many.
    #[error("{name} has {bars} bars; allowed: {} to {}", BARS.start(), BARS.end())]
    Bars {
        /// The file.
        name: String,
        /// How many.
        bars: usize,
    },
}

/// Prices that can be used.
pub(crate) struct Table {
    /// With our columns.
    pub(crate) csv: String,
    pub(crate) bars: usize,
    pub(crate) highest: f64,
}

impl Table {
    pub(crate) fn read(name: &str, text: &str) -> Result<Self, PricesError> {
        let name = || name.to_owned();
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let head = lines.next().map_or("", |(_, line)| line);
        let comma =
            [',', ';', '\t'].into_iter().max_by_key(|mark| head.matches(*mark).count()).unwrap_or(',');
        let head = fields(head, comma);
        let columns = Columns::find(&head).map_err(|column| PricesError::MissingColumn {
            name: name(),
            column,
            found: if head.iter().all(|field| field.is_empty()) {
                "nothing".to_owned()
            } else {
                shown(&head.join(", "))
            },
        })?;
        let mut table = Self { csv: columns.head(), bars: 0, highest: 0.0 };
        let mut before: Option<DateTime> = None;
        for (number, text) in lines {
            let line = number + 1;
            let fields = fields(text, comma);
            if fields.len() != head.len() {
                return Err(PricesError::Fields {
                    name: name(),
                    line,
                    found: fields.len(),
                    expected: head.len(),
                });
            }
            let field = |at: usize| fields.get(at).map_or("", String::as_str);
            let found = field(columns.time).to_owned();
            let time =
                time(&found).ok_or_else(|| PricesError::Time { name: name(), line, found: shown(&found) })?;
            match before {
                Some(before) if before == time => {
                    return Err(PricesError::Duplicate { name: name(), line, found });
                }
                Some(before) if before > time => {
                    let before = before.to_string();
                    return Err(PricesError::Unsorted { name: name(), line, found, before });
                }
                _ => before = Some(time),
            }
            let _ = write!(table.csv, "{time}"); // a String takes all
            let mut values = Vec::with_capacity(columns.values.len());
            for (column, at) in &columns.values {
                let found = field(*at);
                let number = found.parse::<f64>().ok().filter(|number| number.is_finite());
                let number = number.ok_or_else(|| PricesError::Number {
                    name: name(),
                    line,
                    column,
                    found: shown(found),
                })?;
                let _ = write!(table.csv, ",{number}");
                values.push(number);
            }
            table.csv.push('\n');
            if let Some(found) = impossible(&values) {
                return Err(PricesError::Impossible { name: name(), line, found });
            }
            table.highest = values.get(1).map_or(table.highest, |high| table.highest.max(*high));
            table.bars += 1;
        }
        match BARS.contains(&table.bars) {
            true => Ok(table),
            false => Err(PricesError::Bars { name: name(), bars: table.bars }),
        }
    }
}

/// Where the columns are.
struct Columns {
    time: usize,
    values: Vec<(&'static str, usize)>,
}

impl Columns {
    /// The error is the column that is missing.
    fn find(head: &[String]) -> Result<Self, &'static str> {
        let head: Vec<String> = head.iter().map(|name| name.to_lowercase()).collect();
        let position = |names: &[&str]| head.iter().position(|name| names.contains(&name.as_str()));
        let blank = |first: &String| first.is_empty() || first.starts_with("unnamed");
        let unnamed = head.len() > 1 && head.first().is_some_and(blank);
        let time =
            position(&TIMES).or(unnamed.then_some(0)).ok_or("for the time (Date, Time or Timestamp)")?;
        let mut values = Vec::new();
        for (column, names) in COLUMNS {
            match position(names) {
                Some(at) => values.push((column, at)),
                None if column == "Volume" => {}
                None => return Err(column),
            }
        }
        Ok(Self { time, values })
    }

    fn head(&self) -> String {
        let names = self.values.iter().map(|(column, _)| format!(",{column}"));
        format!("Time{}\n", names.collect::<String>())
    }
}

/// What there is, as far as it helps: a file that is no CSV may be one long line.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{} ...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The fields of a line, without quotes and blanks around them.
fn fields(line: &str, comma: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match (c, fields.last_mut()) {
            ('"', _) => quoted = !quoted,
            (c, _) if c == comma && !quoted => fields.push(String::new()),
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

/// A time without a zone: what has one is told in UTC.
fn time(text: &str) -> Option<DateTime> {
    let utc = |timestamp: Timestamp| TimeZone::UTC.to_datetime(timestamp);
    if text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        // Seconds are below this until the year 5138.
        let timestamp = if number < 100_000_000_000 {
            Timestamp::from_second(number)
        } else {
            Timestamp::from_millisecond(number)
        };
        return timestamp.ok().map(utc);
    }
    text.parse::<Timestamp>().ok().map(utc).or_else(|| text.parse::<DateTime>().ok())
}

/// What is wrong with open, high, low and close.
fn impossible(values: &[f64]) -> Option<String> {
    let [open, high, low, close, ..] = *values else { return None };
    if low <= 0.0 {
        return Some(format!("Low is {low}"));
    }
    // Rounded feeds are off in the last digit.
    let (most, least) = (high * (1.0 + 1e-9), low * (1.0 - 1e-9));
    let holds = [open, close, high, low].iter().all(|price| (least..=most).contains(price));
    (!holds).then(|| format!("Open {open}, High {high}, Low {low}, Close {close}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(head: &str, line: impl Fn(usize) -> String) -> String {
        let lines: Vec<String> = (0..100).map(line).collect();
        format!("{head}\n{}\n", lines.join("\n"))
    }

    fn read(text: &str) -> Result<Table, PricesError> {
        Table::read("mine.csv", text)
    }

    fn day(number: usize) -> String {
        DateTime::constant(2024, 1, 1, 0, 0, 0, 0)
            .checked_add(jiff::Span::new().days(number as i64))
            .unwrap()
            .date()
            .to_string()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_case_and_with_others_between() {
        let ours = table("Time,Open,High,Low,Close,Volume", |n| format!("{}T00:00:00,2,3,1,2.5,{n}", day(n)));
        for text in [
            table("Date,Open,High,Low,Close,Volume", |n| format!("{},2,3,1,2.5,{n}", day(n))),
            table("vol;c;l;h;o;TIMESTAMP;Adj Close", |n| format!("{n};2.5;1;3;2;{};9", day(n))),
            table("\u{feff},open,high,low,close,volume", |n| format!("\"{} 00:00\", 2 ,3,1,2.5,{n}", day(n))),
            table("Time\tOpen\tHigh\tLow\tClose\tVolume", |n| {
                format!("{}\t2\t3\t1\t2.5\t{n}", 1_704_067_200 + 86_400 * n)
            }),
            table("time,open,high,low,close,v", |n| format!("{}T01:00:00+01:00,2,3,1,2.5,{n}", day(n))),
        ] {
            let read = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(read.csv, ours, "{text}");
            assert_eq!((read.bars, read.highest), (100, 3.0));
        }
        let without = table("Date,Open,High,Low,Close", |n| format!("{},2,3,1,2.5", day(n)));
        assert!(
            read(&without)
                .unwrap()
                .csv
                .starts_with("Time,Open,High,Low,Close\n2024-01-01T00:00:00,2,3,1,2.5\n")
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let head = "Date,Open,High,Low,Close";
        let but = |at: usize, line: &str| {
            table(head, |n| if n == at { line.to_owned() } else { format!("{},2,3,1,2.5", day(n)) })
        };
        for (text, says) in [
            (String::new(), "no column for the time (Date, Time or Timestamp); found nothing"),
            ("Date,Open,High,Close\n".to_owned(), "no column Low; found Date, Open, High, Close"),
            ("Open,High,Low,Close\n".to_owned(), "no column for the time"),
            (but(3, "2024-01-04,2,3,1"), "line 5 has 4 fields, the first line has 5"),
            (but(3, "01/04/2024,2,3,1,2.5"), "line 5: \"01/04/2024\" is no time"),
            (but(3, "2024-01-04,2,,1,2.5"), "line 5: High is \"\""),
            (but(3, "2024-01-04,2,3,1,NaN"), "line 5: Close is \"NaN\""),
            (but(3, "2024-01-04,2,3,0,2.5"), "line 5: Low is 0"),
            (but(3, "2024-01-04,2,3,1,3.5"), "line 5: Open 2, High 3, Low 1, Close 3.5"),
            (but(3, "2024-01-03,2,3,1,2.5"), "line 5: 2024-01-03 is there twice"),
            (but(3, "2024-01-02,2,3,1,2.5"), "line 5: 2024-01-02 comes after 2024-01-03"),
            (format!("{head}\n2024-01-01,2,3,1,2.5\n"), "has 1 bars; allowed: 60 to 50000"),
            ("[1,2,".repeat(100_000), "no column for the time (Date, Time or Timestamp); found [1, 2, "),
            (but(3, &format!("{},2,3,1,2.5", "7".repeat(100_000))), "line 5: \"7777"),
            (but(3, &format!("2024-01-04,{},3,1,2.5", "x".repeat(100_000))), "line 5: Open is \"xxxx"),
        ] {
            let error = read(&text).err().unwrap_or_else(|| panic!("accepted: {says}")).to_string();
            assert!(error.len() < 500, "{error}");
            assert!(error.starts_with("mine.csv ") && error.contains(says), "{error}\n{says}");
        }
    }
}
