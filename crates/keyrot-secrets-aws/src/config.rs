//! What the store is made from, and the variables that say so.

use std::path::PathBuf;

use keyrot_core::{ConfigError, Vars};

use crate::name;

/// The region when nothing names one.
pub const DEFAULT_REGION: &str = "us-east-1";

/// What stands before the key id in the name of its secret when nothing else is said.
pub const DEFAULT_PREFIX: &str = "algoagent/";

/// How to reach Secrets Manager, and what the secrets are called.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`. `None`: the region of the profile, else [`DEFAULT_REGION`].
    pub region: Option<String>,
    /// The address to ask: `AWS_ENDPOINT_URL_SECRETS_MANAGER`, else `AWS_ENDPOINT_URL`, unless
    /// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is true. `None`: the one that the profile names, else the region's own.
    pub endpoint: Option<String>,
    /// `AWS_SECRET_PREFIX`, [`DEFAULT_PREFIX`]; stands before the key id. Set to nothing it is nothing.
    pub prefix: String,
    /// `AWS_SECRET_FIELD`: which field of a secret in JSON is the key. `None`: the first of `value`, `api_key`, `key`.
    pub field: Option<String>,
    /// `AWS_CA_BUNDLE`: a PEM file of the authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// What AWS's default credential chain reads: `AWS_*`, and where the home folder is. The process environment is
    /// not looked at.
    pub environment: Vars,
}

impl AwsConfig {
    /// As the variables say. Nobody is asked and no file is read.
    ///
    /// # Errors
    /// Every bad value at once.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let config = Self {
            region: region(vars, &mut problems),
            endpoint: endpoint(vars, &mut problems),
            prefix: prefix(vars, &mut problems),
            field: vars.text("AWS_SECRET_FIELD").map(str::to_owned),
            ca_bundle: vars.text("AWS_CA_BUNDLE").map(PathBuf::from),
            environment: seen_by_aws(vars),
        };
        whole_credentials(vars, &mut problems);
        ConfigError::of(problems).map_or(Ok(config), Err)
    }
}

fn region(vars: &Vars, problems: &mut Vec<String>) -> Option<String> {
    let (name, region) = first(vars, ["AWS_REGION", "AWS_DEFAULT_REGION"])?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.len() > 63 || !region.chars().all(allowed) {
        problems.extend_from_slice(
            ConfigError::bad_value(name, region, "a region such as us-east-1 or eu-central-1").problems(),
        );
    }
    Some(region.to_owned())
}

fn endpoint(vars: &Vars, problems: &mut Vec<String>) -> Option<String> {
    match vars.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        Ok(true) => return None,
        Ok(false) => {}
        Err(error) => problems.extend_from_slice(error.problems()),
    }
    let (name, url) = first(vars, ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"])?;
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or("");
    if host.is_empty()
        || host.starts_with('/')
        || host.contains(|c: char| c.is_whitespace() || "@?#".contains(c))
    {
        // not repeated: it may hold a password
        problems.push(format!(
            "{name} is not an address; allowed: http(s)://host[:port][/path] without user name and password, or leave \
             it out for Amazon's own address"
        ));
    }
    Some(url.trim_end_matches('/').to_owned())
}

fn prefix(vars: &Vars, problems: &mut Vec<String>) -> String {
    let prefix = vars.raw("AWS_SECRET_PREFIX").unwrap_or(DEFAULT_PREFIX);
    if !prefix.chars().all(name::allowed) || prefix.len() > name::LONGEST - 64 {
        let allowed = format!(
            "{} and no more than {} characters, so that a key id of 64 fits behind it",
            name::CHARACTERS,
            name::LONGEST - 64
        );
        problems.extend_from_slice(ConfigError::bad_value("AWS_SECRET_PREFIX", prefix, &allowed).problems());
    }
    prefix.to_owned()
}

/// Half a credential is a slip: the chain would go on to the next one and log in as somebody else.
fn whole_credentials(vars: &Vars, problems: &mut Vec<String>) {
    let pair = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let [id, secret] = pair.map(|name| vars.text(name).is_some());
    if id != secret {
        let [set, unset] = if id { pair } else { [pair[1], pair[0]] };
        problems.push(format!("{set} is set and {unset} is not; set both, or neither to log in otherwise"));
    }
}

fn first<'a>(vars: &'a Vars, names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
    names.into_iter().find_map(|name| vars.text(name).map(|value| (name, value)))
}

/// What AWS's own chain may know. Variables set to nothing are unset.
fn seen_by_aws(vars: &Vars) -> Vars {
    let home = ["HOME", "HOMEDRIVE", "HOMEPATH", "USERPROFILE"];
    let names = vars.names_with_prefix("AWS_").chain(home);
    names.filter_map(|name| vars.text(name).map(|value| (name, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let vars = pairs.iter().copied().collect();
        AwsConfig::from_vars(&vars).map(|_| Vec::new()).unwrap_or_else(|error| error.problems().to_vec())
    }

    #[test]
    fn the_guides_defaults() {
        let config = AwsConfig::from_vars(&Vars::default()).unwrap();
        assert_eq!((config.region, config.endpoint, config.field), (None, None, None));
        assert_eq!(config.prefix, "algoagent/");
    }

    #[test]
    fn the_nearer_variable_wins_as_in_the_command_of_aws() {
        let config = AwsConfig::from_vars(&Vars::from_iter([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_DEFAULT_REGION", "eu-west-2"),
            ("AWS_ENDPOINT_URL", "http://all:1"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://secrets:2/"),
            ("AWS_SECRET_PREFIX", ""),
        ]));
        let config = config.unwrap();
        assert_eq!(config.region.as_deref(), Some("eu-west-1"));
        assert_eq!(config.endpoint.as_deref(), Some("http://secrets:2"));
        assert_eq!(config.prefix, "");
        let config = AwsConfig::from_vars(&Vars::from_iter([
            ("AWS_REGION", ""),
            ("AWS_DEFAULT_REGION", "eu-west-2"),
            ("AWS_ENDPOINT_URL", "http://all:1"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ]));
        let config = config.unwrap();
        assert_eq!((config.region.as_deref(), config.endpoint), (Some("eu-west-2"), None));
    }

    #[test]
    fn every_problem_is_told_at_once_and_no_password_with_it() {
        let found = problems(&[
            ("AWS_REGION", "US East"),
            ("AWS_ENDPOINT_URL", "https://user:hunter2@host"),
            ("AWS_SECRET_PREFIX", "team keys/"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found[0].starts_with("AWS_REGION is \"US East\"; allowed: a region such as us-east-1"),
            "{found:?}"
        );
        assert!(found[1].starts_with("AWS_ENDPOINT_URL is not an address; allowed: "), "{found:?}");
        assert!(found[2].starts_with("AWS_SECRET_PREFIX is \"team keys/\"; allowed: "), "{found:?}");
        assert!(
            found[3].starts_with("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not;"),
            "{found:?}"
        );
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }

    #[test]
    fn addresses() {
        for good in ["http://127.0.0.1:8500", "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com/"] {
            assert!(problems(&[("AWS_ENDPOINT_URL", good)]).is_empty(), "{good}");
        }
        for bad in ["localhost:8500", "ftp://host", "https://", "http:///path", "http://a b", "http://host?x"]
        {
            assert_eq!(problems(&[("AWS_ENDPOINT_URL", bad)]).len(), 1, "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_credential() {
        let config = AwsConfig::from_vars(&Vars::from_iter([
            ("AWS_ACCESS_KEY_ID", "AKIATEST"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_SESSION_TOKEN", "hunter3"),
            ("GEMINI_API_KEY", "hunter4"),
        ]));
        let config = config.unwrap();
        assert!(!format!("{config:#?}").contains("hunter"), "{config:?}");
        assert_eq!(config.environment.text("GEMINI_API_KEY"), None, "not AWS's business");
    }
}
