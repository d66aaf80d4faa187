//! `keyrot reset`: ends the rest of a key, or of a project with its models.

use clap::Args;
use keyrot::{KeyPool, KeySet, LimiterError, ProjectId, Scope};
use serde::Serialize;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::output;
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct ResetArguments {
    /// The key whose rest ends
    #[arg(value_name = "KEY_ID", required_unless_present = "project")]
    key_id: Option<String>,
    /// The project whose rest ends, with those of its models; what the provider said of their limits is forgotten
    #[arg(long, value_name = "PROJECT", conflicts_with = "key_id")]
    project: Option<String>,
}

/// docs/configuration.md describes it.
#[derive(Debug, Serialize)]
struct Cleared {
    /// What was reset: `process`, or the name of the limiter that many processes share.
    scope: &'static str,
    cleared: Vec<ClearedScope>,
}

#[derive(Debug, Serialize)]
struct ClearedScope {
    blocked_scope: String,
    reason: Option<&'static str>,
    strikes: u32,
    /// When it would have ended; `null` if it was over.
    until: Option<String>,
}

pub(crate) async fn run(arguments: ResetArguments, options: &Options) -> Result<(), Failure> {
    let opened = session::settings(options)?.open_for_inspection().await?;
    session::tell_notices(&opened);
    let cleared = session::with_pool(opened, async |opened| {
        let pool = &opened.pool;
        let scopes = scopes(&arguments, &pool.keys())?;
        let mode = pool.limiter_mode();
        if let Some(policy) = mode.degraded {
            return Err(Failure::failed(format!(
                "{} cannot be reached (its failure policy {policy} holds): nothing was reset",
                mode.name
            )));
        }
        let cleared = clear(pool, &scopes).await;
        let cleared = cleared.map_err(|error| Failure::failed(format!("nothing was reset: {error}")))?;
        Ok(Cleared { scope: if mode.shared { mode.name } else { "process" }, cleared })
    })
    .await?;
    if options.json {
        return output::print_json(&cleared);
    }
    if cleared.scope == "process" {
        output::warning(
            "limits are counted in this process, which has just begun, so there is nothing to reset; name a file \
             with KEYROT_STATE or a Redis with REDIS_URL for what processes share",
        );
    }
    output::print(&for_people(&cleared))
}

/// What is named must be in the list of keys: a slip is not answered with "nothing rests".
fn scopes(arguments: &ResetArguments, keys: &KeySet) -> Result<Vec<Scope>, Failure> {
    let among = |what: &str, named: &str, known: Vec<String>| {
        Failure::usage(format!("no entry has the {what} {named}; there are: {}", known.join(", ")))
    };
    match (&arguments.key_id, &arguments.project) {
        (Some(id), _) => match keys.get(id) {
            Some(key) => Ok(vec![Scope::Key(key.key_id.clone())]),
            None => {
                let known = keys.iter().map(|key| key.key_id.to_string()).collect();
                Err(among("key_id", id, known))
            }
        },
        (None, named) => {
            let named = named.as_deref().unwrap_or_default();
            let project = ProjectId::from(named);
            let mut scopes = vec![Scope::Project(project.clone())];
            for key in keys.iter().filter(|key| key.quota_project() == project) {
                for model in std::iter::once(&key.model_name).chain(key.models.keys()) {
                    let scope = Scope::ProjectModel(project.clone(), model.clone());
                    if !scopes.contains(&scope) {
                        scopes.push(scope);
                    }
                }
            }
            if scopes.len() == 1 {
                let mut known: Vec<String> = keys.iter().map(|key| key.quota_project().to_string()).collect();
                known.sort_unstable();
                known.dedup();
                return Err(among("project", named, known));
            }
            Ok(scopes)
        }
    }
}

async fn clear(pool: &KeyPool, scopes: &[Scope]) -> Result<Vec<ClearedScope>, LimiterError> {
    let (now, records) = pool.scope_records(scopes).await?;
    let mut cleared = Vec::new();
    for (scope, record) in scopes.iter().zip(records) {
        pool.reset(scope).await?;
        if !record.is_healthy() {
            cleared.push(ClearedScope {
                blocked_scope: scope.to_string(),
                reason: record.reason.map(|reason| reason.name()),
                strikes: record.strikes,
                until: record.blocked(now).map(|until| {
                    output::moment(std::time::UNIX_EPOCH + std::time::Duration::from_millis(until))
                }),
            });
        }
    }
    Ok(cleared)
}

fn for_people(cleared: &Cleared) -> String {
    let line = |one: &ClearedScope| {
        let reason = one.reason.unwrap_or("failures");
        match &one.until {
            Some(until) => format!("cleared {}: {reason} until {until}", one.blocked_scope),
            None => format!("cleared {}: {} strikes of {reason}", one.blocked_scope, one.strikes),
        }
    };
    if cleared.cleared.is_empty() {
        return "nothing rests: nothing was cleared".to_owned();
    }
    cleared.cleared.iter().map(line).collect::<Vec<_>>().join("\n")
}
