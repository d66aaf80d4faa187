//! The tables of the documentation say what the code says.
#![expect(clippy::expect_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;

use keyrot_core::Reason;
use keyrot_e2e::docs::{code_words, inside, page};

/// What a `fn name` of outcome.rs gives: `Self::Cooldown => "cooldown"`.
fn names_in_source(of: &str) -> BTreeSet<String> {
    let source = page("crates/keyrot-core/src/outcome.rs").text;
    let (_, body) = source.split_once(of).expect("the type is there");
    let (_, body) = body.split_once("pub fn name").expect("it has names");
    let (body, _) = body.split_once("\n}\n").expect("its impl ends");
    let arms = body.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => "));
    arms.map(|(_, name)| name.trim_matches(['"', ',']).to_owned()).collect()
}

fn first_column(path: &str, heading: &str) -> BTreeSet<String> {
    let table = page(path).table(heading);
    table.iter().map(|row| row[0].trim_matches(['|', '`', ' ']).to_owned()).collect()
}

#[test]
fn the_outcome_table_has_every_effect() {
    assert_eq!(first_column("docs/failover.md", "The outcome table"), names_in_source("impl Effect {"));
}

const REASONS: [Reason; 19] = [
    Reason::Cooldown,
    Reason::DayQuota,
    Reason::HostSuspected,
    Reason::Inactive,
    Reason::KeyRejected,
    Reason::LimitZero,
    Reason::MinuteRequests,
    Reason::MinuteTokens,
    Reason::ModelMissing,
    Reason::ModelOverloaded,
    Reason::NoQuota,
    Reason::OutOfCredit,
    Reason::Pace,
    Reason::Probing,
    Reason::ProjectRejected,
    Reason::SecretUnavailable,
    Reason::TooLarge,
    Reason::UnknownProvider,
    Reason::WeightZero,
];

#[test]
fn the_table_of_reasons_has_every_reason_and_whether_it_is_waited_for() {
    let documented = first_column("docs/failover.md", "Reasons");
    assert_eq!(documented, names_in_source("impl Reason {"));
    assert_eq!(documented, REASONS.iter().map(|reason| reason.name().to_owned()).collect());
    for row in page("docs/failover.md").table("Reasons") {
        let reason = REASONS.iter().find(|reason| row[0].contains(&format!("`{}`", reason.name())));
        let waited = row[2].trim_matches(['|', ' ']) == "yes";
        assert_eq!(reason.map(|reason| reason.passes_by_itself()), Some(waited), "{}", row[0]);
    }
}

#[test]
fn the_code_map_names_every_file_of_the_core_once() {
    let table = page("docs/ARCHITECTURE.md").table("Code map of the core");
    let mapped: Vec<&str> = table.iter().flat_map(|row| code_words(&row[1])).collect();
    let mut sorted = mapped.clone();
    sorted.sort_unstable();
    let paths = inside("crates/keyrot-core/src");
    let there: Vec<&str> = paths.iter().filter_map(|path| path.rsplit('/').next()).collect();
    let there: Vec<&str> = there.into_iter().filter(|name| *name != "lib.rs").collect();
    assert_eq!(sorted, there);
}

#[test]
fn the_table_of_crates_names_every_package() {
    let mut there: BTreeSet<String> =
        inside("crates").iter().filter_map(|path| Some(path.rsplit('/').next()?.to_owned())).collect();
    there.extend(["keyrot-e2e", "keyrot-test-servers", "xtask"].map(str::to_owned));
    assert_eq!(first_column("docs/ARCHITECTURE.md", "Layers and crates"), there);
}

/// The first text in each call of a macro of `tracing`, in the crates' own code.
fn messages_in_source() -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    for krate in inside("crates") {
        for path in inside(&format!("{krate}/src")).into_iter().filter(|path| path.ends_with(".rs")) {
            let source = page(path).text;
            for (at, _) in source.match_indices("tracing::") {
                let call = &source[at + "tracing::".len()..];
                let Some((level, arguments)) = call.split_once("!(") else { continue };
                if !["error", "warn", "info", "debug", "trace", "debug_span", "info_span"].contains(&level) {
                    continue;
                }
                let texts = texts_of_call(arguments);
                let place = if level.ends_with("_span") { texts.first() } else { texts.last() };
                let message = *place.expect("a message");
                if !message.starts_with('{') {
                    messages.insert(message.to_owned()); // the others pass on a text that is documented elsewhere
                }
            }
        }
    }
    messages
}

/// The string literals up to the parenthesis that closes the call.
fn texts_of_call(arguments: &str) -> Vec<&str> {
    let mut depth = 1;
    let mut texts = Vec::new();
    for (number, part) in arguments.split('"').enumerate() {
        if number % 2 == 1 {
            texts.push(part);
            continue;
        }
        for parenthesis in part.chars().filter(|character| "()".contains(*character)) {
            depth += if parenthesis == '(' { 1 } else { -1 };
            if depth == 0 {
                return texts;
            }
        }
    }
    texts
}

#[test]
fn every_span_and_event_is_documented_and_no_other() {
    let table = page("docs/observability.md").text;
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> =
        rows.filter_map(|row| Some((*code_words(row).first()?).to_owned())).collect();
    let calls = |name: &String| name.contains("::");
    let (metrics, documented): (BTreeSet<String>, BTreeSet<String>) =
        documented.into_iter().filter(|name| !calls(name)).partition(|name| name.starts_with("keyrot_"));
    assert_eq!(documented, messages_in_source());
    let measured = page("crates/keyrot-core/src/measured.rs").text;
    let names = measured.split('"').filter(|text| text.starts_with("keyrot_")).map(ToOwned::to_owned);
    assert_eq!(metrics, names.collect());
}
