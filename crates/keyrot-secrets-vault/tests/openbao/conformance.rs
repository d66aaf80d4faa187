//! The suite of secret stores, in each variant.

use keyrot_secrets_vault::KvVersion;

use crate::harness::{Login, Vault};

mod kv_1 {
    use super::*;

    async fn vault() -> Vault {
        Vault::with(KvVersion::V1, Login::Token, false).await
    }

    keyrot_testkit::secret_store_tests!(
        #[ignore = "needs OpenBao: cargo xtask test"]
        vault;
        named written shaped guarded throttled served
    );
}

mod kv_2 {
    use super::*;

    async fn vault() -> Vault {
        Vault::with(KvVersion::V2, Login::Token, false).await
    }

    keyrot_testkit::secret_store_tests!(
        #[ignore = "needs OpenBao: cargo xtask test"]
        vault;
        named dated written disabled shaped guarded throttled served
    );
}

/// Over TLS, with a server that keeps its data.
mod app_role {
    use super::*;

    async fn vault() -> Vault {
        Vault::with(KvVersion::V2, Login::AppRole, true).await
    }

    keyrot_testkit::secret_store_tests!(
        #[ignore = "needs OpenBao: cargo xtask test"]
        vault;
        named dated written disabled shaped guarded throttled served
    );
}
