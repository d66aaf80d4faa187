//! The suite itself: a store that breaks a rule must fail the case of that rule.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyMetadata, SecretError, SecretErrorKind, SecretStore};
use keyrot_testkit::secret_store::{self as suite, SecretHarness};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CachesForEver,
    DoesNotTrim,
    IgnoresTheName,
    LeaksInDebug,
    LeaksInLocator,
    MissingIsInvalid,
    None,
    ShortensNames,
}

#[derive(Clone)]
struct Faulty {
    fault: Fault,
    secrets: Arc<Mutex<HashMap<String, String>>>,
}

impl Faulty {
    fn name(&self, key: &KeyMetadata) -> String {
        match (self.fault, &key.secret) {
            (Fault::ShortensNames, _) => key.key_id.as_str().chars().take(7).collect(),
            (Fault::IgnoresTheName, _) | (_, None) => key.key_id.to_string(),
            (_, Some(name)) => name.clone(),
        }
    }

    fn value(&self, key: &KeyMetadata) -> Option<String> {
        self.secrets.lock().unwrap().get(&self.name(key)).cloned()
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fault {
            Fault::LeaksInDebug => write!(f, "{:?}", self.secrets),
            _ => write!(f, "Faulty"),
        }
    }
}

#[async_trait]
impl SecretStore for Faulty {
    fn locator(&self, key: &KeyMetadata) -> String {
        match self.fault {
            Fault::LeaksInLocator => format!("faulty:{}", self.value(key).unwrap_or_default()),
            _ => format!("faulty:{}", self.name(key)),
        }
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let refused = |kind| SecretError::new(kind, self.locator(key), "no");
        let kind = if self.fault == Fault::MissingIsInvalid {
            SecretErrorKind::Empty
        } else {
            SecretErrorKind::NotFound
        };
        let value = self.value(key).ok_or_else(|| refused(kind))?;
        match self.fault {
            Fault::DoesNotTrim => Ok(value.into()),
            _ if value.trim().is_empty() => Err(refused(SecretErrorKind::Empty)),
            _ => Ok(value.trim().into()),
        }
    }
}

#[async_trait]
impl SecretHarness for Faulty {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::new(self.clone())
    }

    async fn put(&self, key: &KeyMetadata, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        if self.fault != Fault::CachesForEver || !secrets.contains_key(&self.name(key)) {
            secrets.insert(self.name(key), secret.to_owned());
        }
    }
}

/// The cases that a store with this fault fails.
fn failed(fault: Fault) -> Vec<&'static str> {
    let mut failed = Vec::new();
    macro_rules! run {
        ($($case:ident)*) => {
            $(
                let harness = Faulty { fault, secrets: Arc::default() };
                let outcome = catch_unwind(AssertUnwindSafe(|| keyrot_testkit::run_case(suite::$case(harness))));
                if outcome.is_err() {
                    failed.push(stringify!($case));
                }
            )*
        };
    }
    run! {
        a_blank_secret_is_told
        an_empty_secret_is_told
        an_explicit_name_overrides_the_id
        concurrent_fetches
        concurrent_needs_are_one_read
        debug_shows_no_secret
        fetches_what_was_put
        locators_are_stable_and_hold_no_secret
        many_at_once_are_what_each_is
        missing_is_not_found
        sees_a_replaced_value
        two_keys_never_mix
        white_space_around_is_trimmed
    }
    failed
}

#[test]
fn each_fault_fails_its_case_and_a_good_store_none() {
    for (fault, case) in [
        (Fault::CachesForEver, "sees_a_replaced_value"),
        (Fault::DoesNotTrim, "white_space_around_is_trimmed"),
        (Fault::DoesNotTrim, "a_blank_secret_is_told"),
        (Fault::DoesNotTrim, "an_empty_secret_is_told"),
        (Fault::IgnoresTheName, "an_explicit_name_overrides_the_id"),
        (Fault::LeaksInDebug, "debug_shows_no_secret"),
        (Fault::LeaksInLocator, "locators_are_stable_and_hold_no_secret"),
        (Fault::MissingIsInvalid, "missing_is_not_found"),
        (Fault::ShortensNames, "two_keys_never_mix"),
    ] {
        assert!(failed(fault).contains(&case), "{fault:?} passed {case}");
    }
    assert_eq!(failed(Fault::None), [""; 0]);
}
