//! The report of a strategy as one HTML page: it needs no network, no script and no other file.

use serde_json::Value;

use crate::page_chart::{Chart, Mark, MarkKind, number};
use crate::page_statistics::statistics;
use crate::report::Strategy;
use crate::verification::{Parameter, Report};

const STYLE: &str = include_str!("page.css");

/// A strategy as a page. `description` is what was asked for.
///
/// The page holds all that it shows and asks nobody for anything; a policy in its head has the browser refuse it.
pub fn page(strategy: &Strategy, description: &str) -> String {
    let Strategy { class_name, code, report, warnings, .. } = strategy;
    let title = if class_name.is_empty() { "A strategy" } else { class_name };
    html(title, report, warnings, description, &origin(strategy), code)
}

/// The same for a module that no model was asked for, as [`Pipeline::verify_code`](crate::Pipeline::verify_code) found
/// it. `description` says what it is.
pub fn module_page(title: &str, code: &str, report: &Report, description: &str) -> String {
    html(title, report, &[], description, "", code)
}

fn html(
    title: &str,
    report: &Report,
    warnings: &[String],
    description: &str,
    origin: &str,
    code: &str,
) -> String {
    let parts = [
        verdict(report, warnings),
        section("What was asked for", &format!("<p>{}</p>", escaped(description.trim()))),
        section("What the model has assumed", &assumptions(report)),
        charts(report),
        section("Parameters", &parameters(report)),
        section("Statistics", &statistics(report)),
        section("Stages", &stages(report)),
        section("Where it comes from", origin),
        section("Code", &format!("<pre><code>{}</code></pre>", escaped(code))),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{}</body>\n</html>\n",
        parts.concat(),
        title = escaped(title),
    )
}

/// Text that stays text in HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn section(heading: &str, body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!("<section>\n<h2>{heading}</h2>\n{body}\n</section>\n")
    }
}

/// Rows of name and value; both are text.
pub(crate) fn table<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: String = rows
        .into_iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(&value)))
        .collect();
    if rows.is_empty() { rows } else { format!("<table>\n{rows}</table>") }
}

fn verdict(report: &Report, warnings: &[String]) -> String {
    let (class, text) = match (&report.fault, &report.not_run) {
        (Some(fault), _) => ("bad", format!("Not verified. {fault}")),
        (None, Some(why)) => ("open", format!("Not verified: {why}")),
        (None, None) if report.verified => {
            ("good", "Verified: it was run, repeats itself and does not look ahead.".to_owned())
        }
        (None, None) => ("open", "Not verified.".to_owned()),
    };
    let warnings: String =
        warnings.iter().map(|warning| format!("<p class=\"open\">{}</p>\n", escaped(warning))).collect();
    format!("<p class=\"verdict {class}\">{}</p>\n{warnings}", escaped(&text))
}

fn charts(report: &Report) -> String {
    let Some(backtest) = &report.backtest else { return String::new() };
    let curve = backtest.statistics.get("_equity_curve");
    let column = |name: &str| -> Vec<Option<f64>> {
        let cells = curve.and_then(|curve| curve.get(name)).and_then(Value::as_array);
        cells.into_iter().flatten().map(Value::as_f64).collect()
    };
    let times: Vec<String> = curve
        .and_then(|curve| curve.get("Time"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|time| time.as_str().unwrap_or_default().to_owned())
        .collect();
    let drawdown: Vec<Option<f64>> =
        column("DrawdownPct").into_iter().map(|part| part.map(|part| -100.0 * part)).collect();
    let chart = |title, values: &[Option<f64>], filled_to, marks, unit| {
        let svg = Chart { title, values, times: &times, filled_to, marks, unit }.svg();
        section(title, &svg)
    };
    [
        chart("Equity", &column("Equity"), None, Vec::new(), ""),
        chart("Drawdown", &drawdown, Some(0.0), Vec::new(), " %"),
        chart("Trades on the price", &backtest.close, None, marks(&backtest.statistics), ""),
    ]
    .concat()
}

/// Where each trade begins and ends.
fn marks(statistics: &serde_json::Map<String, Value>) -> Vec<Mark> {
    let trades = statistics.get("_trades").and_then(Value::as_array);
    let mut marks = Vec::new();
    for trade in trades.into_iter().flatten() {
        let field = |name: &str| trade.get(name).and_then(Value::as_f64);
        let bar =
            |name: &str| trade.get(name).and_then(Value::as_u64).and_then(|bar| usize::try_from(bar).ok());
        let (Some(size), Some(begin), Some(end)) = (field("Size"), bar("EntryBar"), bar("ExitBar")) else {
            continue;
        };
        let (Some(entry), Some(exit)) = (field("EntryPrice"), field("ExitPrice")) else { continue };
        let (kind, word) = if size > 0.0 { (MarkKind::Long, "long") } else { (MarkKind::Short, "short") };
        let text = format!("{word}, {} units at {}", size.abs(), number(entry));
        marks.push(Mark { bar: begin, value: entry, kind, text });
        let gain = field("PnL").map_or(String::new(), |gain| format!(", result {}", number(gain)));
        let text = format!("{word} closed at {}{gain}", number(exit));
        marks.push(Mark { bar: end, value: exit, kind: MarkKind::Exit, text });
    }
    marks
}

fn assumptions(report: &Report) -> String {
    let items = report.assumptions.iter().map(|assumed| format!("<li>{}</li>\n", escaped(assumed)));
    let items: String = items.collect();
    if items.is_empty() { items } else { format!("<ul>\n{items}</ul>") }
}

fn parameters(report: &Report) -> String {
    let rows = report.parameters.iter().map(|Parameter { name, default, meaning }| {
        let meaning =
            meaning.as_deref().map_or(String::new(), |meaning| format!("<td>{}</td>", escaped(meaning)));
        format!("<tr><th>{}</th><td>{}</td>{meaning}</tr>\n", escaped(name), escaped(default))
    });
    let rows: String = rows.collect();
    if rows.is_empty() { rows } else { format!("<table>\n{rows}</table>") }
}

fn stages(report: &Report) -> String {
    table(report.stages.iter().map(|stage| {
        let outcome = if stage.passed { "passed" } else { "failed" };
        (stage.stage.name(), format!("{outcome} in {:.1} ms", stage.took.as_secs_f64() * 1e3))
    }))
}

fn origin(strategy: &Strategy) -> String {
    let Strategy { model, model_version, key_id, attempts, usage, repaired, .. } = strategy;
    table([
        ("Model", model.to_string()),
        ("Version", model_version.clone().unwrap_or_else(|| "not told".to_owned())),
        ("Key", key_id.to_string()),
        ("Attempts", attempts.len().to_string()),
        ("Tokens", format!("{} in, {} out", usage.input_tokens, usage.output_tokens)),
        ("Repaired", if *repaired { "yes" } else { "no" }.to_owned()),
    ])
}
