//! A client of Secrets Manager, and where it asks: made when the first secret is read.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use aws_config::profile::ProfileSet;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{Builder, SharedHttpClient};
use aws_types::SdkConfig;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::ServiceConfigKey;
use keyrot_core::StoreTimeouts;

use crate::config::{AwsConfig, DEFAULT_REGION};
use crate::credential::in_time;
use crate::retry::{self, ToldAtOnce};

/// A client and where it asks.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) place: Place,
    /// Its credential was refused: the next call opens another one.
    pub(crate) over: AtomicBool,
}

/// Where secrets are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) region: String,
    /// The address as people know it: `https://secretsmanager.us-east-1.amazonaws.com`.
    pub(crate) address: String,
    /// The same if it is not the region's own: commands have to be told.
    pub(crate) endpoint: Option<String>,
}

impl Place {
    /// As far as the configuration says it without a look at profiles.
    pub(crate) fn configured(config: &AwsConfig) -> Self {
        let region = config.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let own = || format!("https://secretsmanager.{region}.amazonaws.com");
        Self {
            address: config.endpoint.clone().unwrap_or_else(own),
            endpoint: config.endpoint.clone(),
            region,
        }
    }
}

impl Session {
    /// Reads the profiles and prepares a client. Asks nobody; the credential is looked for by the first call.
    ///
    /// # Errors
    /// In words: the profile is missing or of a kind that cannot be used.
    pub(crate) async fn open(
        config: &AwsConfig,
        timeouts: StoreTimeouts,
        http: Option<SharedHttpClient>,
    ) -> Result<Self, String> {
        let env = environment(config);
        let profiles = aws_config::profile::load(&Fs::real(), &env, &EnvConfigFiles::default(), None).await;
        // not its words: they may show a line of the file
        let profiles = profiles.map_err(|_| {
            "the files of AWS profiles cannot be read; `aws configure list` says what is wrong with them"
                .to_owned()
        })?;
        usable(&profiles, config)?;
        let region = config.region.as_deref().or_else(|| profiles.get("region")).unwrap_or(DEFAULT_REGION);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .env(env)
            .region(Region::new(region.to_owned()))
            .retry_config(retry::within(timeouts.total))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(timeouts.connect)
                    .operation_timeout(timeouts.total)
                    .build(),
            );
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(http) = http {
            loader = loader.http_client(http);
        }
        let sdk = in_time(loader.load().await, timeouts.total * 3 / 4);
        let endpoint = config.endpoint.clone().or_else(|| profiles_endpoint(&sdk));
        let place = match endpoint {
            Some(url) => Place { region: region.to_owned(), address: url.clone(), endpoint: Some(url) },
            None => {
                Place { region: region.to_owned(), address: own_address(&sdk, region).await, endpoint: None }
            }
        };
        let client = Client::from_conf(Builder::from(&sdk).retry_classifier(ToldAtOnce).build());
        Ok(Self { client, place, over: AtomicBool::new(false) })
    }
}

fn environment(config: &AwsConfig) -> Env {
    let vars = &config.environment;
    let names = vars.names_with_prefix("");
    let pairs = names.filter_map(|name| vars.text(name).map(|value| (name.to_owned(), value.to_owned())));
    Env::from(pairs.collect::<HashMap<_, _>>())
}

/// Refuses a profile that does not exist, or that logs in by single sign-on; credentials in variables come before it.
fn usable(profiles: &ProfileSet, config: &AwsConfig) -> Result<(), String> {
    if config.environment.text("AWS_ACCESS_KEY_ID").is_some() {
        return Ok(());
    }
    let name = profiles.selected_profile();
    let Some(profile) = profiles.get_profile(name) else {
        if config.environment.text("AWS_PROFILE").is_none() {
            return Ok(());
        }
        let mut known: Vec<&str> = profiles.profiles().collect();
        known.sort_unstable();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!(
            "AWS_PROFILE is {name:?} and there is no such profile; there are: {known}; `aws configure --profile {name}` \
             makes it"
        ));
    };
    let by_sso = ["sso_session", "sso_start_url"].iter().any(|property| profile.get(property).is_some());
    if by_sso && profile.get("credential_process").is_none() {
        return Err(format!(
            "the profile {name:?} logs in by single sign-on, which keyrot does not; name another profile in AWS_PROFILE, \
             one with the line `credential_process = aws configure export-credentials --profile {name} --format \
             process`, after `aws sso login --profile {name}`"
        ));
    }
    Ok(())
}

/// The address that the profile names, found as the SDK's own clients find it.
fn profiles_endpoint(sdk: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("Secrets Manager")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url");
    let key = key.build().ok()?;
    let own = sdk.service_config().and_then(|services| services.load_config(key));
    own.or_else(|| sdk.endpoint_url().map(str::to_owned))
}

/// The region's address, which depends on the partition, FIPS and dual stack.
async fn own_address(sdk: &SdkConfig, region: &str) -> String {
    let params = Params::builder()
        .region(region)
        .use_fips(sdk.use_fips().unwrap_or_default())
        .use_dual_stack(sdk.use_dual_stack().unwrap_or_default());
    let found = match params.build() {
        Ok(params) => DefaultResolver::new().resolve_endpoint(&params).await.ok(),
        Err(_) => None,
    };
    found.map_or_else(|| format!("no address of region {region}"), |endpoint| endpoint.url().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use keyrot_core::Vars;
    use tempfile::TempDir;

    use super::*;

    async fn opened(files: &[(&str, &str)], more: &[(&str, &str)]) -> Result<Place, String> {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        for (name, text) in files {
            fs::write(home.path().join(".aws").join(name), text).unwrap();
        }
        let home = home.path().to_str().unwrap();
        let vars: Vars = more.iter().copied().chain([("HOME", home)]).collect();
        let session =
            Session::open(&AwsConfig::from_vars(&vars).unwrap(), StoreTimeouts::default(), None).await;
        session.map(|session| session.place)
    }

    #[tokio::test]
    async fn the_region_comes_from_variable_profile_or_default() {
        let files = [("config", "[default]\nregion = eu-west-3\n[profile far]\nregion = ap-south-1\n")];
        let region = async |more: &[(&str, &str)]| opened(&files, more).await.unwrap().region;
        assert_eq!(region(&[("AWS_REGION", "eu-west-1")]).await, "eu-west-1");
        assert_eq!(region(&[("AWS_PROFILE", "far")]).await, "ap-south-1");
        assert_eq!(region(&[]).await, "eu-west-3");
        assert_eq!(opened(&[], &[]).await.unwrap().region, "us-east-1");
    }

    #[tokio::test]
    async fn the_address_is_the_one_that_will_be_asked() {
        let place = opened(&[], &[]).await.unwrap();
        assert_eq!(place.address, "https://secretsmanager.us-east-1.amazonaws.com");
        assert_eq!(place.endpoint, None);
        let china = opened(&[], &[("AWS_REGION", "cn-north-1")]).await.unwrap();
        assert_eq!(china.address, "https://secretsmanager.cn-north-1.amazonaws.com.cn");
        let fips = opened(&[], &[("AWS_USE_FIPS_ENDPOINT", "true")]).await.unwrap();
        assert_eq!(fips.address, "https://secretsmanager-fips.us-east-1.amazonaws.com");
        let own = opened(&[], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]).await.unwrap();
        assert_eq!(own.endpoint.as_deref(), Some("http://127.0.0.1:1"));
        let files = [("config", "[default]\nendpoint_url = http://127.0.0.1:2\n")];
        assert_eq!(opened(&files, &[]).await.unwrap().address, "http://127.0.0.1:2");
        let ignored = [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
        assert_eq!(opened(&files, &ignored).await.unwrap().endpoint, None);
    }

    #[tokio::test]
    async fn a_profile_that_is_not_there_is_named_with_those_that_are() {
        let files = [("credentials", "[work]\naws_access_key_id = A\n[home]\naws_access_key_id = B\n")];
        let error = opened(&files, &[("AWS_PROFILE", "wrok")]).await.unwrap_err();
        assert!(
            error.starts_with("AWS_PROFILE is \"wrok\" and there is no such profile; there are: home, work;"),
            "{error}"
        );
        let credential =
            [("AWS_PROFILE", "wrok"), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "B")];
        opened(&files, &credential).await.unwrap();
    }

    #[tokio::test]
    async fn single_sign_on_is_told_how_to_work() {
        let sso = "[profile sso]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n";
        let error = opened(&[("config", sso)], &[("AWS_PROFILE", "sso")]).await.unwrap_err();
        assert!(
            error.contains("credential_process = aws configure export-credentials --profile sso"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_broken_file_is_told_without_its_lines() {
        let error =
            opened(&[("credentials", "[default\naws_secret_access_key = hunter2\n")], &[]).await.unwrap_err();
        assert!(error.contains("`aws configure list`") && !error.contains("hunter2"), "{error}");
    }
}
