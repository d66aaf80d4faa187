//! Logging in as whoever is logged in to a developer's tool, where the machine has no identity.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions,
};
use keyrot_core::{ConfigError, SecretErrorKind};

use crate::credential::AzureTools;
use crate::identity::ManagedIdentity;
use crate::login::{LoginError, made};

/// How long a machine may take to show that it has an identity.
const PROBE: Duration = Duration::from_secs(1);

/// Tools that somebody has logged in to; the first that gives a token is asked.
#[derive(Debug)]
pub(crate) struct Tools {
    tools: Vec<(&'static str, Arc<dyn TokenCredential>)>,
}

impl Tools {
    pub(crate) fn new(tools: AzureTools, tenant_id: Option<&String>) -> Result<Self, ConfigError> {
        let mut chosen: Vec<(&'static str, Arc<dyn TokenCredential>)> = Vec::new();
        if tools != AzureTools::AzureDeveloperCli {
            let options = AzureCliCredentialOptions { tenant_id: tenant_id.cloned(), ..Default::default() };
            chosen.push(("az", made(AzureCliCredential::new(Some(options)), "AZURE_TENANT_ID")?));
        }
        if tools != AzureTools::AzureCli {
            let options =
                AzureDeveloperCliCredentialOptions { tenant_id: tenant_id.cloned(), ..Default::default() };
            chosen.push(("azd", made(AzureDeveloperCliCredential::new(Some(options)), "AZURE_TENANT_ID")?));
        }
        Ok(Self { tools: chosen })
    }

    async fn ask(
        &self,
        scopes: &[&str],
        options: &Option<TokenRequestOptions<'_>>,
    ) -> Result<AccessToken, LoginError> {
        let mut found = Vec::new();
        for (name, tool) in &self.tools {
            match tool.get_token(scopes, options.clone()).await {
                Ok(token) => return Ok(token),
                // What the tool has written is not repeated.
                Err(error) if error.to_string().contains("not found on PATH") => {
                    found.push(format!("{name} is not installed"));
                }
                Err(_) => found.push(format!("{name} gives no token: log in with {}", log_in(name))),
            }
        }
        Err(LoginError::new(SecretErrorKind::Unauthenticated, found.join(", ")))
    }
}

fn log_in(tool: &str) -> &'static str {
    if tool == "az" { "az login" } else { "azd auth login" }
}

#[async_trait::async_trait]
impl TokenCredential for Tools {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(self.ask(scopes, &options).await?)
    }
}

/// Nothing is set: the machine's identity, or a developer's tools.
#[derive(Debug)]
pub(crate) struct IdentityOrTools {
    identity: ManagedIdentity,
    tools: Tools,
    /// Known after the first token.
    has_identity: OnceLock<bool>,
}

impl IdentityOrTools {
    pub(crate) fn new(identity: ManagedIdentity, tools: Tools) -> Self {
        Self { identity, tools, has_identity: OnceLock::new() }
    }
}

#[async_trait::async_trait]
impl TokenCredential for IdentityOrTools {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        match self.has_identity.get() {
            Some(true) => return self.identity.get_token(scopes, options).await,
            Some(false) => return self.tools.get_token(scopes, options).await,
            None => {}
        }
        let identity = tokio::time::timeout(PROBE, self.identity.get_token(scopes, options.clone())).await;
        if let Ok(Ok(token)) = identity {
            let _ = self.has_identity.set(true);
            return Ok(token);
        }
        let token = self.tools.ask(scopes, &options).await.map_err(|tools| {
            LoginError::new(
                SecretErrorKind::Unauthenticated,
                format!(
                    "no credential for Azure: this machine has no managed identity, {}; or set AZURE_TENANT_ID, \
                     AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
                    tools.what
                ),
            )
        })?;
        let _ = self.has_identity.set(false);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use azure_core::error::ErrorKind;
    use azure_core::time::OffsetDateTime;

    use super::*;

    /// Gives this token, or says this.
    #[derive(Debug)]
    struct Tool(Result<&'static str, &'static str>);

    #[async_trait::async_trait]
    impl TokenCredential for Tool {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            let token = |text: &'static str| AccessToken::new(text, OffsetDateTime::UNIX_EPOCH);
            self.0.map(token).map_err(|said| azure_core::Error::with_message(ErrorKind::Credential, said))
        }
    }

    async fn ask(az: Result<&'static str, &'static str>, azd: Result<&'static str, &'static str>) -> String {
        let tools = Tools { tools: vec![("az", Arc::new(Tool(az))), ("azd", Arc::new(Tool(azd)))] };
        match tools.ask(&["https://vault.azure.net/.default"], &None).await {
            Ok(token) => token.token.secret().to_owned(),
            Err(error) => error.what,
        }
    }

    #[tokio::test]
    async fn the_first_tool_that_gives_a_token_is_taken() {
        assert_eq!(ask(Ok("of az"), Ok("of azd")).await, "of az");
        assert_eq!(ask(Err("az not found on PATH"), Ok("of azd")).await, "of azd");
    }

    #[tokio::test]
    async fn what_a_tool_has_written_is_not_repeated() {
        let told = ask(Err("az not found on PATH"), Err("the secret is hunter22")).await;
        assert_eq!(told, "az is not installed, azd gives no token: log in with azd auth login");
    }
}
