//! What the store has to know, and the variables that say it.

use std::path::PathBuf;

use azure_core::http::Url;
use keyrot_core::{ConfigError, Vars};

use crate::credential::AzureCredential;
use crate::vault::Vault;

/// The vault and how to get in.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    /// `https://host[:port]` of the vault; `AZURE_VAULT_URL`.
    pub vault_url: String,
    /// Who the store says it is.
    pub credential: AzureCredential,
    /// `https://host[:port]` of Microsoft Entra, where applications log in; `AZURE_AUTHORITY_HOST`. Without it the
    /// one of the vault's cloud.
    pub authority_host: String,
    /// A PEM file of root certificates that are trusted beside the system's; `SSL_CERT_FILE`.
    pub root_certificates: Option<PathBuf>,
    /// The vault's challenge must name the vault's own domain, so that nobody else gets a token. Only a private
    /// domain for a vault needs false: `AZURE_DISABLE_CHALLENGE_VERIFICATION`.
    pub verify_challenge: bool,
}

impl AzureConfig {
    /// Reads the variables: `AZURE_VAULT_URL`, those of [`AzureCredential::from_vars`], `AZURE_AUTHORITY_HOST`,
    /// `SSL_CERT_FILE`, `AZURE_DISABLE_CHALLENGE_VERIFICATION`.
    ///
    /// # Errors
    /// Every problem at once: the variable, what was found and what is allowed.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let vault_url = vars.text("AZURE_VAULT_URL").unwrap_or_default().to_owned();
        let vault = noted(Vault::parse(&vault_url), &mut problems);
        let credential = noted(AzureCredential::from_vars(vars), &mut problems);
        let authority_host = match vars.text("AZURE_AUTHORITY_HOST") {
            Some(host) => host.to_owned(),
            None => vault.map_or_else(String::new, |vault| vault.authority_host().to_owned()),
        };
        if vars.text("AZURE_AUTHORITY_HOST").is_some() {
            noted(address("AZURE_AUTHORITY_HOST", &authority_host, AUTHORITY), &mut problems);
        }
        let disabled = noted(vars.flag("AZURE_DISABLE_CHALLENGE_VERIFICATION"), &mut problems);
        match (credential, ConfigError::of(problems)) {
            (Some(credential), None) => Ok(Self {
                vault_url,
                credential,
                authority_host,
                root_certificates: vars.text("SSL_CERT_FILE").map(PathBuf::from),
                verify_challenge: disabled != Some(true),
            }),
            (_, Some(error)) => Err(error),
            (None, None) => Err(ConfigError::new("the credential for Azure cannot be used")),
        }
    }
}

/// What `AZURE_AUTHORITY_HOST` looks like.
pub(crate) const AUTHORITY: &str = "https://host[:port], such as https://login.microsoftonline.com, or leave it out for the one of the vault's cloud";

/// An address of the form `https://host[:port]`, perhaps with a slash at its end. What was found is not repeated as a
/// whole: it may hold a password.
pub(crate) fn address(name: &str, text: &str, allowed: &str) -> Result<Url, ConfigError> {
    let found = match Url::parse(text) {
        _ if text.is_empty() => "is not set",
        Err(_) => "is no address",
        Ok(url) if url.scheme() != "https" => "does not begin with https://",
        Ok(url) if url.host_str().is_none_or(str::is_empty) => "has no host",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "holds a user's name or a password"
        }
        Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
            "has more after the host than a slash"
        }
        Ok(url) => return Ok(url),
    };
    Err(ConfigError::new(format!("{name} {found}; allowed: {allowed}")))
}

/// The value, or its problems among the others.
fn noted<T>(read: Result<T, ConfigError>, problems: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| problems.extend_from_slice(error.problems())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<AzureConfig, ConfigError> {
        AzureConfig::from_vars(&pairs.iter().copied().collect())
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let error = read(&[
            ("AZURE_CLIENT_SECRET", "the-secret"),
            ("AZURE_AUTHORITY_HOST", "http://user:hunter22@login.example"),
            ("AZURE_DISABLE_CHALLENGE_VERIFICATION", "maybe"),
        ])
        .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.problems().len(), 5, "{text}");
        for name in
            ["AZURE_VAULT_URL is not set", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_AUTHORITY_HOST does"]
        {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("hunter22") && !text.contains("the-secret"), "{text}");
    }

    #[test]
    fn addresses_are_https_and_nothing_but_a_host() {
        for (text, found) in [
            ("", "is not set"),
            ("your-vault", "is no address"),
            ("http://v.vault.azure.net", "does not begin with https://"),
            ("https://me:pw@v.vault.azure.net", "holds a user's name"),
            ("https://v.vault.azure.net/secrets", "has more after the host"),
            ("https://v.vault.azure.net/?x=1", "has more after the host"),
        ] {
            let error = read(&[("AZURE_VAULT_URL", text)]).unwrap_err().to_string();
            assert!(error.contains(&format!("AZURE_VAULT_URL {found}")), "{text}: {error}");
            assert!(error.contains("https://your-vault.vault.azure.net"), "{error}");
        }
        for text in ["https://v.vault.azure.net", "https://v.vault.azure.net/", "https://localhost:8443"] {
            read(&[("AZURE_VAULT_URL", text)]).unwrap();
        }
    }

    #[test]
    fn the_authority_is_that_of_the_vaults_cloud_unless_it_is_named() {
        for (vault, authority) in [
            ("https://v.vault.azure.net", "https://login.microsoftonline.com"),
            ("https://v.vault.azure.cn", "https://login.chinacloudapi.cn"),
            ("https://v.vault.usgovcloudapi.net/", "https://login.microsoftonline.us"),
            ("https://localhost:8443", "https://login.microsoftonline.com"),
        ] {
            assert_eq!(read(&[("AZURE_VAULT_URL", vault)]).unwrap().authority_host, authority);
        }
        let named =
            [("AZURE_VAULT_URL", "https://v.vault.azure.cn"), ("AZURE_AUTHORITY_HOST", "https://a.example/")];
        assert_eq!(read(&named).unwrap().authority_host, "https://a.example/");
    }

    #[test]
    fn the_challenge_is_verified_unless_that_is_switched_off() {
        let with = |value| {
            let vault = ("AZURE_VAULT_URL", "https://v.vault.azure.net");
            read(&[vault, ("AZURE_DISABLE_CHALLENGE_VERIFICATION", value)]).unwrap().verify_challenge
        };
        assert!(with("") && with("false"));
        assert!(!with("true"));
    }
}
