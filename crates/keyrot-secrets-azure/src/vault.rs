//! The vault's address, and the commands that a user of it would run.

use azure_core::http::Url;
use keyrot_core::ConfigError;

use crate::config::address;

/// What `AZURE_VAULT_URL` looks like.
const ALLOWED: &str = "the address of the vault, such as https://your-vault.vault.azure.net/";

/// The end of a vault's host name in each cloud of Microsoft's, and where people log in there.
const CLOUDS: [(&str, &str); 3] = [
    (".vault.azure.net", "https://login.microsoftonline.com"),
    (".vault.azure.cn", "https://login.chinacloudapi.cn"),
    (".vault.usgovcloudapi.net", "https://login.microsoftonline.us"),
];

/// A vault whose address has been looked at.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    /// `https://host[:port]`, without a slash at its end.
    pub(crate) address: String,
    cloud: Option<(String, &'static str)>,
}

impl Vault {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let url: Url = address("AZURE_VAULT_URL", text, ALLOWED)?;
        let host = url.host_str().unwrap_or_default();
        let cloud = CLOUDS.iter().find_map(|(suffix, authority)| {
            let name = host.strip_suffix(suffix).filter(|name| !name.contains('.'))?;
            Some((name.to_owned(), *authority))
        });
        Ok(Self { address: url.as_str().trim_end_matches('/').to_owned(), cloud })
    }

    /// Where applications of the vault's cloud log in.
    pub(crate) fn authority_host(&self) -> &'static str {
        self.cloud.as_ref().map_or(CLOUDS[0].1, |(_, authority)| authority)
    }

    /// `azure:your-vault.vault.azure.net/secrets/flash-01`.
    pub(crate) fn locator(&self, name: &str) -> String {
        format!("azure:{}/secrets/{name}", self.address.trim_start_matches("https://"))
    }

    /// The vault and the secret as the command `az keyvault secret` takes them.
    fn arguments(&self, name: &str) -> String {
        match &self.cloud {
            Some((vault, _)) => format!("--vault-name {vault} --name {name}"),
            None => format!("--id {}/secrets/{name}", self.address),
        }
    }

    /// What a user runs to look at a secret.
    pub(crate) fn show(&self, name: &str) -> String {
        format!("az keyvault secret show {}", self.arguments(name))
    }

    /// What a user runs to switch a secret on.
    pub(crate) fn enable(&self, name: &str) -> String {
        format!("az keyvault secret set-attributes {} --enabled true", self.arguments(name))
    }

    /// What a user runs to get back a secret that was deleted.
    pub(crate) fn recover(&self, name: &str) -> String {
        match &self.cloud {
            Some((vault, _)) => format!("az keyvault secret recover --vault-name {vault} --name {name}"),
            None => format!("az keyvault secret recover --id {}/deletedsecrets/{name}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_vault_as_its_cloud_does() {
        let vault = Vault::parse("https://your-vault.vault.azure.net/").unwrap();
        assert_eq!(vault.locator("flash-01"), "azure:your-vault.vault.azure.net/secrets/flash-01");
        assert_eq!(vault.show("flash-01"), "az keyvault secret show --vault-name your-vault --name flash-01");
        let private = Vault::parse("https://localhost:8443").unwrap();
        assert_eq!(private.locator("a"), "azure:localhost:8443/secrets/a");
        assert_eq!(private.show("a"), "az keyvault secret show --id https://localhost:8443/secrets/a");
        assert_eq!(
            private.recover("a"),
            "az keyvault secret recover --id https://localhost:8443/deletedsecrets/a"
        );
    }
}
