//! Names of scopes and groups in stores that are shared: text that leads back to what it names.
//!
//! `host`, `key/ID`, `model/MODEL`, `project/PROJECT`, `project_model/PROJECT/MODEL`; a group is
//! `PROJECT/MODEL`. In a name `%`, `/` and what is not printable ASCII is written as `%` and two
//! hexadecimal digits for each byte.

use std::str::FromStr;

use crate::key::{KeyId, ModelName, ProjectId};
use crate::limit::{Group, LimiterError, LimiterErrorKind};
use crate::outcome::Scope;

impl Scope {
    /// The scope as text, which [`FromStr`] reads back: a key of a store that is shared.
    pub fn name(&self) -> String {
        let mut name = self.kind().to_owned();
        let mut add = |part: &str| {
            name.push('/');
            escape(part, &mut name);
        };
        match self {
            Self::Host => {}
            Self::Key(key) => add(key.as_str()),
            Self::Model(model) => add(model.as_str()),
            Self::Project(project) => add(project.as_str()),
            Self::ProjectModel(project, model) => {
                add(project.as_str());
                add(model.as_str());
            }
        }
        name
    }
}

impl FromStr for Scope {
    type Err = LimiterError;

    /// Reads what [`Scope::name`] wrote.
    ///
    /// # Errors
    /// [`Incompatible`](LimiterErrorKind::Incompatible) for anything else.
    fn from_str(name: &str) -> Result<Self, LimiterError> {
        let mut parts = name.split('/');
        let kind = parts.next().unwrap_or_default();
        let parts: Option<Vec<String>> = parts.map(unescape).collect();
        let parts = parts.unwrap_or_default();
        let scope = match (kind, parts.as_slice()) {
            ("host", []) => Some(Self::Host),
            ("key", [key]) => KeyId::parse(key).ok().map(Self::Key),
            ("model", [model]) => Some(Self::Model(ModelName::exactly(model))),
            ("project", [project]) => Some(Self::Project(project.as_str().into())),
            ("project_model", [project, model]) => {
                Some(Self::ProjectModel(project.as_str().into(), ModelName::exactly(model)))
            }
            _ => None,
        };
        scope.filter(|scope| scope.name() == name).ok_or_else(|| {
            LimiterError::new(
                LimiterErrorKind::Incompatible,
                format!(
                    "{name:?} names no scope that this keyrot knows; allowed: host, key/ID, model/MODEL, \
                     project/PROJECT and project_model/PROJECT/MODEL"
                ),
            )
        })
    }
}

impl Group {
    /// The group as text: a key of a store that is shared.
    pub fn name(&self) -> String {
        let mut name = String::new();
        escape(self.project.as_str(), &mut name);
        name.push('/');
        escape(self.model.as_str(), &mut name);
        name
    }

    /// Reads what [`name`](Self::name) wrote; `None` for anything else.
    pub fn from_name(name: &str) -> Option<Self> {
        let (project, model) = name.split_once('/')?;
        let project = ProjectId::from(unescape(project)?.as_str());
        let group = Self { project, model: ModelName::exactly(&unescape(model)?) };
        (group.name() == name).then_some(group)
    }
}

fn escape(part: &str, to: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'/') {
            to.push(char::from(byte));
        } else {
            to.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn unescape(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_readable() {
        let group = Group { project: "team a".into(), model: "tuned/x%y".into() };
        for (scope, name) in [
            (Scope::Host, "host"),
            (Scope::Key(KeyId::parse("flash_01").unwrap()), "key/flash_01"),
            (Scope::Model("gemini-2.5-flash".into()), "model/gemini-2.5-flash"),
            (Scope::Project("p".into()), "project/p"),
            (group.scope(), "project_model/team%20a/tuned%2Fx%25y"),
        ] {
            assert_eq!(scope.name(), name);
            assert_eq!(name.parse::<Scope>().unwrap(), scope);
        }
        assert_eq!(group.name(), "team%20a/tuned%2Fx%25y");
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_is() {
        for bad in
            ["", "Host", "host/", "key", "key/a b", "key/a/b", "model/%2", "model/%zz", "model/%41", "x/y"]
        {
            let error = bad.parse::<Scope>().unwrap_err();
            assert!(error.to_string().contains(bad) && error.to_string().contains("key/ID"), "{error}");
        }
        for bad in ["", "a", "a/b/c", "a/%41"] {
            assert_eq!(Group::from_name(bad), None);
        }
    }

    proptest! {
        #[test]
        fn every_name_leads_back(project in "\\PC{0,12}", model in any::<String>()) {
            let model = ModelName::exactly(&model);
            let group = Group { project: project.as_str().into(), model: model.clone() };
            prop_assert_eq!(Group::from_name(&group.name()).unwrap(), group.clone());
            prop_assert_eq!(group.scope().name().parse::<Scope>().unwrap(), group.scope());
            prop_assert_eq!(Scope::Model(model.clone()).name().parse::<Scope>().unwrap(), Scope::Model(model));
        }
    }
}
