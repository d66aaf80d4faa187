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

/// The path of a key's secret as `vault kv` takes it. A name that an entry states stands below `prefix` as an id
/// does, unless it is a path itself.
pub(crate) fn path(prefix: &str, key: &KeyMetadata) -> String {
    match key.secret.as_deref() {
        Some(path) if path.contains('/') => path.to_owned(),
        Some(name) => format!("{prefix}/{name}"),
        None => format!("{prefix}/{}", key.key_id),
    }
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

    /// True if the path leads into it.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The rest of a path that leads into it.
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
    use keyrot_core::KeyId;

    use super::*;

    #[test]
    fn what_would_mean_something_else_on_the_wire_is_no_path() {
        for good in ["secret", "secret/algoagent", "team/kv/a.b", "a@b/c=d,e:f+g"] {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "a b", "a?b", "a#b", "a%2Fb", "ü",
            "a\\b",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn a_stated_name_stands_below_the_prefix_and_a_stated_path_for_itself() {
        let mut key = KeyMetadata::new(KeyId::parse("flash_01").unwrap(), "m");
        assert_eq!(path("secret/algoagent", &key), "secret/algoagent/flash_01");
        key.secret = Some("shared".to_owned());
        assert_eq!(path("secret/algoagent", &key), "secret/algoagent/shared");
        key.secret = Some("team/gemini".to_owned());
        assert_eq!(path("secret/algoagent", &key), "team/gemini");
    }

    #[test]
    fn a_mount_of_two_parts_is_split_off_as_a_whole() {
        let mount = Mount { path: "team/kv".to_owned(), version: KvVersion::V2 };
        assert_eq!(mount.on_the_wire("team/kv/algoagent/a"), "team/kv/data/algoagent/a");
        let mount = Mount::first_part("secret/algoagent", KvVersion::V1);
        assert_eq!((mount.below("secret/algoagent/a"), mount.path.as_str()), ("algoagent/a", "secret"));
        assert_eq!(mount.on_the_wire("secret/algoagent/a"), "secret/algoagent/a");
        assert!(mount.holds("secret/a") && !mount.holds("secrets/a") && !mount.holds("secret"));
    }
}
