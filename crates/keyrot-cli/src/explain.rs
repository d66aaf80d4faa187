//! `keyrot explain`: why a request could or could not be served now.

use clap::Args;
use keyrot::{Explanation, KeyRequest};
use serde::Serialize;

use crate::arguments::{self, Options};
use crate::failure::Failure;
use crate::output;
use crate::session;
use crate::whose::Whose;

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The model asked for; default: any key with the model of its entry
    #[arg(long, value_name = "MODEL", value_parser = arguments::model)]
    model: Option<String>,
    /// Estimated input tokens of the call
    #[arg(long, value_name = "N", default_value_t = 1000)]
    tokens: u64,
    /// Only keys with this tag; may be repeated, all must match
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::tag)]
    tag: Vec<(String, String)>,
}

/// docs/configuration.md describes it.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    whose: Whose,
    selectable: Vec<String>,
    blocked: Vec<BlockedKey>,
    earliest_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct BlockedKey {
    key_id: String,
    reason: &'static str,
    blocked_scope: String,
    until: Option<String>,
    detail: Option<String>,
}

pub(crate) async fn run(arguments: ExplainArguments, options: &Options) -> Result<(), Failure> {
    let mut request = KeyRequest::any().tokens(arguments.tokens);
    request.model = arguments.model.as_deref().map(Into::into);
    request.tags = arguments.tag.into_iter().collect();
    let opened = session::settings(options)?.open_for_inspection().await?;
    session::tell_notices(&opened);
    let explained = session::with_pool(opened, async |opened| {
        let explained = opened.pool.explain(&request).await?;
        Ok((explained, opened.pool.limiter_mode()))
    })
    .await?;
    let (explained, mode) = explained;
    let answer = answer(explained, Whose::of(&mode));
    if options.json {
        return output::print_json(&answer);
    }
    answer.whose.tell("the answer is");
    output::print(&for_people(&answer))
}

fn answer(explained: Explanation, whose: Whose) -> Answer {
    let blocked = explained.blocked.into_iter().map(|blocked| BlockedKey {
        key_id: blocked.key_id.to_string(),
        reason: blocked.reason.name(),
        blocked_scope: blocked.scope.to_string(),
        until: blocked.until.map(output::moment),
        detail: blocked.detail,
    });
    Answer {
        whose,
        blocked: blocked.collect(),
        selectable: explained.selectable.iter().map(ToString::to_string).collect(),
        earliest_at: explained.earliest_at.map(output::moment),
    }
}

fn for_people(answer: &Answer) -> String {
    let mut table = output::table(["key", "selectable", "reason", "blocked", "until"]);
    for id in &answer.selectable {
        table.add_row([id, "yes", "", "", ""]);
    }
    for blocked in &answer.blocked {
        let until = blocked.until.as_deref().unwrap_or("somebody changes something");
        table.add_row([&blocked.key_id, "no", blocked.reason, &blocked.blocked_scope, until]);
    }
    let earliest = match &answer.earliest_at {
        _ if !answer.selectable.is_empty() => "now",
        Some(at) => at,
        None => "never as things are",
    };
    format!("{table}\nearliest: {earliest}")
}
