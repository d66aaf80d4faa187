//! `keyrot status`: the health of every key.

use std::collections::BTreeMap;

use clap::Args;
use keyrot::{GroupUsage, KeyHealth, KeyPool, Limits};
use serde::Serialize;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::output;
use crate::session;
use crate::whose::Whose;

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {}

/// docs/configuration.md describes it.
#[derive(Debug, Serialize)]
struct Status {
    #[serde(flatten)]
    whose: Whose,
    keys: BTreeMap<String, KeyStatus>,
}

#[derive(Debug, Serialize)]
struct KeyStatus {
    model: String,
    active: bool,
    last_used: Option<String>,
    success_count: u64,
    error_count: u64,
    in_cooldown: bool,
    cooldown_remaining_s: Option<f64>,
    reason: Option<&'static str>,
    strikes: u32,
    abandoned_count: u64,
    last_error: Option<String>,
    secret_error: Option<String>,
    secret_changes: u64,
    project: String,
    usage: Vec<ModelUsage>,
}

/// The windows of one (project, model); siblings share them.
#[derive(Clone, Debug, Serialize)]
struct ModelUsage {
    model: String,
    requests_minute: u32,
    rpm: Option<u32>,
    tokens_minute: u64,
    tpm: Option<u64>,
    requests_day: u32,
    rpd: Option<u32>,
}

pub(crate) async fn run(_: StatusArguments, options: &Options) -> Result<(), Failure> {
    let opened = session::settings(options)?.open_for_inspection().await?;
    session::tell_notices(&opened);
    let status = session::with_pool(opened, async |opened| status(&opened.pool).await).await?;
    if options.json {
        return output::print_json(&status);
    }
    status.whose.tell("counts are");
    output::print(&for_people(&status))
}

async fn status(pool: &KeyPool) -> Result<Status, Failure> {
    let usage = pool
        .usage()
        .await
        .map_err(|error| Failure::failed(format!("the limiter cannot be asked: {error}")))?;
    let health = pool
        .shared_health()
        .await
        .map_err(|error| Failure::failed(format!("the limiter cannot be asked: {error}")))?;
    let keys = health.into_iter().map(|(id, health)| {
        let own = usage.iter().filter(|(project, ..)| *project == health.project);
        let own = own.map(|(_, model, used)| model_usage(model.as_str(), used)).collect();
        (id, key_status(health, own))
    });
    Ok(Status { whose: Whose::of(&pool.limiter_mode()), keys: keys.collect() })
}

fn key_status(health: KeyHealth, usage: Vec<ModelUsage>) -> KeyStatus {
    KeyStatus {
        model: health.model.to_string(),
        active: health.active,
        last_used: health.last_used.map(output::moment),
        success_count: health.success_count,
        error_count: health.error_count,
        in_cooldown: health.in_cooldown,
        cooldown_remaining_s: health.cooldown_remaining.map(|left| left.as_secs_f64()),
        reason: health.reason.map(|reason| reason.name()),
        strikes: health.strikes,
        abandoned_count: health.abandoned_count,
        last_error: health.last_error,
        secret_error: health.secret_error,
        secret_changes: health.secret_changes,
        project: health.project.to_string(),
        usage,
    }
}

fn model_usage(model: &str, used: &GroupUsage) -> ModelUsage {
    let Limits { rpm, tpm, rpd, .. } = used.effective;
    ModelUsage {
        model: model.to_owned(),
        requests_minute: used.minute_requests,
        rpm,
        tokens_minute: used.minute_tokens,
        tpm,
        requests_day: used.day_requests,
        rpd,
    }
}

fn for_people(status: &Status) -> String {
    let mut table =
        output::table(["key", "model", "project", "state", "last used", "ok", "errors", "rpm", "tpm", "rpd"]);
    for (id, key) in &status.keys {
        let own = key.usage.iter().find(|usage| usage.model == key.model);
        let cell = |used: u64, limit: Option<u64>| match limit {
            Some(limit) => format!("{used}/{limit}"),
            None => format!("{used}/-"),
        };
        let state = match (key.reason, key.cooldown_remaining_s) {
            (Some(reason), Some(left)) => {
                format!("{reason}, {}", output::span(std::time::Duration::from_secs_f64(left)))
            }
            (Some(reason), None) => reason.to_owned(),
            (None, _) => "ready".to_owned(),
        };
        table.add_row([
            id.clone(),
            key.model.clone(),
            key.project.clone(),
            state,
            key.last_used.clone().unwrap_or_else(|| "-".to_owned()),
            key.success_count.to_string(),
            key.error_count.to_string(),
            own.map_or(String::new(), |own| cell(own.requests_minute.into(), own.rpm.map(u64::from))),
            own.map_or(String::new(), |own| cell(own.tokens_minute, own.tpm)),
            own.map_or(String::new(), |own| cell(own.requests_day.into(), own.rpd.map(u64::from))),
        ]);
    }
    table.to_string()
}
