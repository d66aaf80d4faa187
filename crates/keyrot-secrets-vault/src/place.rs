//! Where the secret of a key is: `{VAULT_SECRET_PATH}/{key_id}`, and how that is written on the wire.

use keyrot_core::KeyMetadata;

use crate::config::KvVersion;

/// Of paths and names. Dots alone would be dropped on the way, `?`, `#` and `%` mean something in an address.
pub(crate) const ALLOWED: &str =
    "A-Z a-z 0-9 _ - . @ + = : , and / between the parts, none of which is empty, `.` or `..`";

/// True if every part can be sent as it is and means itself.
pub(crate) fn is_path(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.@+=:,".contains(c);
    text.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(allowed))
}

/// The name of a key's secret below `VAULT_SECRET_PATH`.
pub(crate) fn name(key: &KeyMetadata) -> &str {
    key.secret.as_deref().unwrap_or_else(|| key.key_id.as_str())
}

/// What is wrong with the name in the field `secret`.
pub(crate) fn bad_name(key: &KeyMetadata) -> Option<String> {
    let name = key.secret.as_deref().filter(|name| !is_path(name))?;
    Some(format!("\"secret\" is {name:?}, which cannot be the name of a secret in Vault; allowed: {ALLOWED}"))
}

/// A KV engine: where it is mounted, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) path: String,
    pub(crate) version: KvVersion,
}

impl Mount {
    /// The first part of the path, as it is usual.
    pub(crate) fn first_part(path: &str, version: KvVersion) -> Self {
        Self { path: path.split('/').next().unwrap_or(path).to_owned(), version }
    }

    /// The rest of a path as `vault kv` takes it.
    pub(crate) fn below<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.path.as_str()).unwrap_or(path).trim_start_matches('/')
    }

    /// The path of the API, which is also the one of a policy.
    pub(crate) fn on_the_wire(&self, path: &str) -> String {
        match self.version {
            KvVersion::V1 => path.to_owned(),
            KvVersion::V2 => format!("{}/data/{}", self.path, self.below(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_mean_something_else_on_the_wire_is_no_path() {
        for good in ["secret", "secret/algoagent", "team/kv/a.b", "a@b/c=d,e:f+g"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "a b", "a?b", "a#b", "a%2Fb", "ü", "a\\b"] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn a_mount_of_two_parts_is_split_off_as_a_whole() {
        let mount = Mount { path: "team/kv".to_owned(), version: KvVersion::V2 };
        assert_eq!(mount.on_the_wire("team/kv/algoagent/a"), "team/kv/data/algoagent/a");
        let mount = Mount::first_part("secret/algoagent", KvVersion::V1);
        assert_eq!((mount.below("secret/algoagent/a"), mount.path.as_str()), ("algoagent/a", "secret"));
        assert_eq!(mount.on_the_wire("secret/algoagent/a"), "secret/algoagent/a");
    }
}
