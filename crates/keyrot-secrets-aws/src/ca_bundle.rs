//! The authorities of `AWS_CA_BUNDLE`: read once, checked before the SDK gets them, which would panic over bad ones.

use std::fs;
use std::path::Path;

use aws_sdk_secretsmanager::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use keyrot_core::ConfigError;

/// A client that trusts these authorities and no others, as the command `aws` does.
pub(crate) fn client(path: &Path) -> Result<SharedHttpClient, ConfigError> {
    let pem = fs::read(path).map_err(|error| {
        let problem = format!("AWS_CA_BUNDLE: cannot read {}: {error}", path.display());
        ConfigError::new(problem)
    })?;
    if !holds_authorities(&pem) {
        return Err(ConfigError::new(format!(
            "AWS_CA_BUNDLE is {}, which does not hold certificates; allowed: a file of certificates in PEM, each from \
             -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
            path.display()
        )));
    }
    let roots = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(roots).build();
    let context = context.map_err(|_| ConfigError::new("AWS_CA_BUNDLE cannot be used for TLS"))?;
    // As the SDK makes its default client, which cannot be given authorities: proxies are those of the process.
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build()
    }))
}

fn holds_authorities(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    let good = CertificateDer::pem_slice_iter(pem).all(|der| der.is_ok_and(|der| roots.add(der).is_ok()));
    good && !roots.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bundle_is_named_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = client(&path).unwrap_err().to_string();
        assert!(error.starts_with("AWS_CA_BUNDLE: cannot read ") && error.contains("ca.pem"), "{error}");
        for bad in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&path, bad).unwrap();
            let error = client(&path).unwrap_err().to_string();
            assert!(
                error.contains("ca.pem, which does not hold certificates; allowed: "),
                "{bad:?}: {error}"
            );
        }
    }
}
