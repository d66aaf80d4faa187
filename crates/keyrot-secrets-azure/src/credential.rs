//! Who the store says it is: chosen by the variables that are set.

use std::path::PathBuf;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{ConfigError, Vars};

use crate::identity::IdentityEndpoint;

/// How the store logs in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AzureCredential {
    /// An application with a secret.
    ClientSecret {
        /// Directory of the application.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// A secret of the application: its value, not its id.
        client_secret: SecretString,
    },
    /// An application that Kubernetes vouches for, by a token in a file.
    WorkloadIdentity {
        /// Directory of the application.
        tenant_id: String,
        /// The application, or the user-assigned identity.
        client_id: String,
        /// Where the token of the service account is. It must be there when the store is made.
        token_file: PathBuf,
    },
    /// The identity of the machine or service that this runs on.
    ManagedIdentity {
        /// A user-assigned identity; `None`: the machine's own.
        client_id: Option<String>,
        /// Who hands out its tokens.
        endpoint: IdentityEndpoint,
    },
    /// Whoever is logged in to a tool of Microsoft's.
    DeveloperTools {
        /// Which tool.
        tools: AzureTools,
        /// Directory to log in to; `None`: the one that the tool has chosen.
        tenant_id: Option<String>,
    },
    /// The identity of the machine if it has one, which shows within a second, else both developer tools.
    ManagedIdentityOrDeveloperTools {
        /// A user-assigned identity; `None`: the machine's own.
        client_id: Option<String>,
        /// Directory to log in to; `None`: the one that the tool has chosen.
        tenant_id: Option<String>,
    },
}

/// Tools that a developer logs in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AzureTools {
    /// `az`, then `azd`.
    Any,
    /// `az`.
    AzureCli,
    /// `azd`.
    AzureDeveloperCli,
}

/// Values of `AZURE_TOKEN_CREDENTIALS`, the variable with which Microsoft's own SDKs force a credential.
const KINDS: &str = "dev, prod, EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential, \
                     AzureCliCredential, AzureDeveloperCliCredential";

impl AzureCredential {
    /// The first of these that has its variables: an application with a secret (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
    /// `AZURE_CLIENT_SECRET`), workload identity (`AZURE_FEDERATED_TOKEN_FILE` instead of the secret), the managed
    /// identity of a service (`IDENTITY_ENDPOINT`, `IDENTITY_HEADER`), that of a machine, developer tools.
    /// `AZURE_TOKEN_CREDENTIALS` forces one: the names that Microsoft's SDKs have for them, `prod` for all but the
    /// tools, `dev` for the tools alone.
    ///
    /// # Errors
    /// Every variable that is missing beside those that are set, or cannot be used.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let set = |name| vars.text(name).is_some();
        let forced = vars.text("AZURE_TOKEN_CREDENTIALS").unwrap_or_default();
        match forced.to_ascii_lowercase().as_str() {
            "" | "prod" if set("AZURE_CLIENT_SECRET") => client_secret(vars),
            "" | "prod" if set("AZURE_CLIENT_CERTIFICATE_PATH") => Err(ConfigError::new(
                "AZURE_CLIENT_CERTIFICATE_PATH is set, but logging in with a certificate is not supported; allowed: \
                 AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE, a managed identity or az login",
            )),
            "" | "prod" if set("AZURE_FEDERATED_TOKEN_FILE") => workload_identity(vars),
            "" if !set("IDENTITY_ENDPOINT") => {
                let (client_id, tenant_id) = (text(vars, "AZURE_CLIENT_ID"), tenant(vars)?);
                Ok(Self::ManagedIdentityOrDeveloperTools { client_id, tenant_id })
            }
            "" | "prod" | "managedidentitycredential" => {
                let endpoint = IdentityEndpoint::from_vars(vars)?;
                Ok(Self::ManagedIdentity { client_id: text(vars, "AZURE_CLIENT_ID"), endpoint })
            }
            "environmentcredential" => client_secret(vars),
            "workloadidentitycredential" => workload_identity(vars),
            "dev" => tools(vars, AzureTools::Any),
            "azureclicredential" => tools(vars, AzureTools::AzureCli),
            "azuredeveloperclicredential" => tools(vars, AzureTools::AzureDeveloperCli),
            _ => Err(ConfigError::bad_value("AZURE_TOKEN_CREDENTIALS", forced, KINDS)),
        }
    }
}

fn client_secret(vars: &Vars) -> Result<AzureCredential, ConfigError> {
    let secret = vars.text("AZURE_CLIENT_SECRET");
    let (tenant_id, client_id) = application(vars, "AZURE_CLIENT_SECRET", secret.is_some())?;
    let client_secret = SecretString::from(secret.unwrap_or_default());
    Ok(AzureCredential::ClientSecret { tenant_id, client_id, client_secret })
}

fn workload_identity(vars: &Vars) -> Result<AzureCredential, ConfigError> {
    let file = vars.text("AZURE_FEDERATED_TOKEN_FILE");
    let (tenant_id, client_id) = application(vars, "AZURE_FEDERATED_TOKEN_FILE", file.is_some())?;
    let token_file = file.unwrap_or_default().into();
    Ok(AzureCredential::WorkloadIdentity { tenant_id, client_id, token_file })
}

fn tools(vars: &Vars, tools: AzureTools) -> Result<AzureCredential, ConfigError> {
    Ok(AzureCredential::DeveloperTools { tools, tenant_id: tenant(vars)? })
}

/// The tenant and the application, or every variable that lacks beside `proof`.
fn application(vars: &Vars, proof: &str, proven: bool) -> Result<(String, String), ConfigError> {
    let (tenant_id, client_id) = (tenant(vars)?, text(vars, "AZURE_CLIENT_ID"));
    let present =
        [("AZURE_TENANT_ID", tenant_id.is_some()), ("AZURE_CLIENT_ID", client_id.is_some()), (proof, proven)];
    let missing = present.iter().filter(|(_, there)| !there).map(|(name, _)| {
        format!("{name} is not set; an application logs in with AZURE_TENANT_ID, AZURE_CLIENT_ID and {proof}")
    });
    match ConfigError::of(missing.collect()) {
        Some(error) => Err(error),
        None => Ok((tenant_id.unwrap_or_default(), client_id.unwrap_or_default())),
    }
}

/// It becomes a part of an address and an argument of a tool.
fn tenant(vars: &Vars) -> Result<Option<String>, ConfigError> {
    let tenant = text(vars, "AZURE_TENANT_ID");
    match tenant {
        Some(tenant) if !tenant.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') => {
            Err(ConfigError::bad_value(
                "AZURE_TENANT_ID",
                &tenant,
                "the id of a tenant or its domain: A-Z a-z 0-9 . -",
            ))
        }
        tenant => Ok(tenant),
    }
}

fn text(vars: &Vars, name: &str) -> Option<String> {
    vars.text(name).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use keyrot_core::secrecy::ExposeSecret;

    use super::*;

    const APP: [(&str, &str); 2] = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];

    fn chosen(more: &[(&str, &str)]) -> String {
        let vars: Vars = APP.iter().chain(more).copied().collect();
        match AzureCredential::from_vars(&vars) {
            Ok(credential) => format!("{credential:?}").split([' ', '{']).next().unwrap().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_variables_that_are_set_choose() {
        let secret = ("AZURE_CLIENT_SECRET", "s");
        let file = ("AZURE_FEDERATED_TOKEN_FILE", "token");
        let service = [("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token"), ("IDENTITY_HEADER", "h")];
        assert_eq!(chosen(&[secret, file, service[0], service[1]]), "ClientSecret");
        assert_eq!(chosen(&[file, service[0], service[1]]), "WorkloadIdentity");
        assert_eq!(chosen(&service), "ManagedIdentity");
        assert_eq!(chosen(&[]), "ManagedIdentityOrDeveloperTools");
    }

    #[test]
    fn a_credential_can_be_forced() {
        let forced = |kind| chosen(&[("AZURE_TOKEN_CREDENTIALS", kind), ("AZURE_CLIENT_SECRET", "s")]);
        for (kind, expected) in [
            ("prod", "ClientSecret"),
            ("EnvironmentCredential", "ClientSecret"),
            ("managedidentitycredential", "ManagedIdentity"),
            ("DEV", "DeveloperTools"),
            ("AzureCliCredential", "DeveloperTools"),
            ("AzureDeveloperCliCredential", "DeveloperTools"),
        ] {
            assert_eq!(forced(kind), expected, "{kind}");
        }
        let error = forced("WorkloadIdentityCredential");
        assert!(error.starts_with("AZURE_FEDERATED_TOKEN_FILE is not set"), "{error}");
        let error = forced("PowerShell");
        assert!(error.contains("\"PowerShell\"; allowed: dev, prod"), "{error}");
        assert_eq!(
            chosen(&[("AZURE_TOKEN_CREDENTIALS", "prod")]),
            "ManagedIdentity",
            "never a developer's tool"
        );
    }

    #[test]
    fn half_a_credential_names_what_is_missing() {
        let vars = Vars::from_iter([("AZURE_CLIENT_SECRET", "s")]);
        let error = AzureCredential::from_vars(&vars).unwrap_err();
        assert_eq!(error.problems().len(), 2);
        let error = chosen(&[("AZURE_CLIENT_CERTIFICATE_PATH", "app.pem")]);
        assert!(error.contains("certificate is not supported"), "{error}");
        let error = chosen(&[("AZURE_TENANT_ID", "a/b; rm"), ("AZURE_CLIENT_SECRET", "s")]);
        assert!(error.starts_with("AZURE_TENANT_ID is \"a/b; rm\""), "{error}");
    }

    #[test]
    fn debug_hides_the_secret() {
        let vars = Vars::from_iter(APP.into_iter().chain([("AZURE_CLIENT_SECRET", "hunter22")]));
        let credential = AzureCredential::from_vars(&vars).unwrap();
        assert!(!format!("{credential:#?}").contains("hunter22"));
        let AzureCredential::ClientSecret { client_secret, .. } = credential else { panic!() };
        assert_eq!(client_secret.expose_secret(), "hunter22");
    }
}
