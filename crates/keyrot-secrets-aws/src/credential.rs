//! How long the search for a credential may take: an instance's address that nobody answers at must not use up the time
//! for a read, or nothing could say what was waited for.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Providing;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;

/// The same with a chain of credentials that gives up after this time.
pub(crate) fn in_time(sdk: SdkConfig, patience: Duration) -> SdkConfig {
    let Some(chain) = sdk.credentials_provider() else { return sdk };
    sdk.into_builder()
        .credentials_provider(SharedCredentialsProvider::new(InTime { chain, patience }))
        .build()
}

#[derive(Debug)]
struct InTime {
    chain: SharedCredentialsProvider,
    patience: Duration,
}

impl ProvideCredentials for InTime {
    fn provide_credentials<'a>(&'a self) -> Providing<'a>
    where
        Self: 'a,
    {
        Providing::new(async {
            let found = tokio::time::timeout(self.patience, self.chain.provide_credentials()).await;
            found.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(self.patience)))
        })
    }
}
