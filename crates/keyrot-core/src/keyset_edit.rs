//! Changes to the text of keys.json, field by field: what is not changed stays as it was written.

use std::collections::HashMap;
use std::time::SystemTime;

use jiff::{Timestamp, Unit};
use jsonc_parser::cst::{CstArray, CstInputValue, CstObject, CstRootNode};

use crate::error::ConfigError;
use crate::key::{KeyId, KeyMetadata, Limits};
use crate::keyset_read::dialect;

/// What became of an entry.
pub(crate) struct Change {
    pub(crate) id: KeyId,
    /// As it was when the file was read; only what differs from it is written.
    pub(crate) was: Option<KeyMetadata>,
    /// `None` takes it out.
    pub(crate) wanted: Option<KeyMetadata>,
}

#[derive(Clone, PartialEq)]
enum Field {
    Flag(bool),
    Number(u64),
    Text(String),
    Fields(Fields),
}

type Fields = Vec<(String, Field)>;

/// The text with these changes. The text must be that of a valid keys.json.
pub(crate) fn edited(text: &str, changes: &[Change], now: SystemTime) -> Result<String, ConfigError> {
    let (mark, text) = text.strip_prefix('\u{feff}').map_or(("", text), |rest| ("\u{feff}", rest));
    let root = CstRootNode::parse(text, &dialect())
        .map_err(|error| ConfigError::new(format!("not JSON: {error}")))?;
    let list = root
        .object_value()
        .and_then(|object| object.array_value("keys"))
        .ok_or_else(|| ConfigError::new("\"keys\" is missing; allowed: one list of entries"))?;
    let mut places = places(&list);
    let now = rfc3339(now)?;
    let mut problems = Vec::new();
    for change in changes {
        match (&change.wanted, places.remove(change.id.as_str())) {
            (Some(wanted), Some(place)) => {
                let was = change.was.as_ref().map(fields).unwrap_or_default();
                if write(&place, &was, &fields(wanted)) {
                    set(&place, "updated_at", &Field::Text(now.clone()));
                }
            }
            (Some(wanted), None) if change.was.is_none() => {
                list.append(Field::Fields(with_dates(wanted, &now)).into());
            }
            (Some(wanted), None) => problems.push(format!(
                "{} was changed here but removed from the file meanwhile; load the file again and add it \
                 if it is still wanted",
                wanted.key_id
            )),
            (None, Some(place)) => place.remove(),
            (None, None) => {}
        }
    }
    ConfigError::of(problems).map_or_else(|| Ok(format!("{mark}{root}")), Err)
}

/// A keys.json with this one entry.
pub(crate) fn document_of(key: &KeyMetadata) -> Result<String, ConfigError> {
    let root = CstRootNode::parse("{}", &dialect()).map_err(|error| ConfigError::new(error.to_string()))?;
    let mut entry = fields(key);
    entry.extend(dates(key));
    let list = CstInputValue::Array(vec![Field::Fields(entry).into()]);
    root.object_value_or_set().append("keys", list);
    Ok(root.to_string())
}

fn places(list: &CstArray) -> HashMap<String, CstObject> {
    let objects = list.elements().into_iter().filter_map(|element| element.as_object());
    objects.filter_map(|object| Some((text_of(&object, "key_id")?, object))).collect()
}

fn text_of(object: &CstObject, name: &str) -> Option<String> {
    object.get(name)?.value()?.as_string_lit()?.decoded_value().ok()
}

/// Writes what differs between `was` and `wanted`; true if something did.
fn write(object: &CstObject, was: &Fields, wanted: &Fields) -> bool {
    let mut changed = false;
    for (name, value) in wanted {
        let old = was.iter().find(|(old, _)| old == name).map(|(_, value)| value);
        if old == Some(value) {
            continue;
        }
        changed |= match (value, object.object_value(name)) {
            (Field::Fields(value), Some(inner)) => {
                let nothing = Fields::new();
                let old = if let Some(Field::Fields(old)) = old { old } else { &nothing };
                write(&inner, old, value)
            }
            _ => {
                set(object, name, value);
                true
            }
        };
    }
    for (name, _) in was {
        if !wanted.iter().any(|(kept, _)| kept == name)
            && let Some(property) = object.get(name)
        {
            property.remove();
            changed = true;
        }
    }
    changed
}

fn set(object: &CstObject, name: &str, value: &Field) {
    match object.get(name) {
        Some(property) => property.set_value(value.clone().into()),
        None => drop(object.append(name, value.clone().into())),
    }
}

/// All fields but the dates, in the order of the guide; those that have their default are left out.
fn fields(key: &KeyMetadata) -> Fields {
    let mut fields = vec![
        named("key_id", Field::Text(key.key_id.to_string())),
        named("model_name", Field::Text(key.model_name.to_string())),
        named("provider", Field::Text(key.provider.clone())),
    ];
    fields.extend(key.project.as_ref().map(|project| named("project", Field::Text(project.to_string()))));
    fields.extend(key.secret.as_ref().map(|secret| named("secret", Field::Text(secret.clone()))));
    fields.extend(limit_fields(key.limits));
    if !key.models.is_empty() {
        let models = key.models.iter();
        let models =
            models.map(|(model, limits)| named(model.as_str(), Field::Fields(limit_fields(*limits))));
        fields.push(named("models", Field::Fields(models.collect())));
    }
    if key.priority != 0 {
        fields.push(named("priority", Field::Number(key.priority.into())));
    }
    if key.weight != 1 {
        fields.push(named("weight", Field::Number(key.weight.into())));
    }
    fields.push(named("active", Field::Flag(key.active)));
    let tags = key.tags.iter().map(|(name, value)| named(name, Field::Text(value.clone())));
    fields.push(named("tags", Field::Fields(tags.collect())));
    fields
}

fn limit_fields(limits: Limits) -> Fields {
    let all = [("rpm", limits.rpm.map(u64::from)), ("tpm", limits.tpm), ("rpd", limits.rpd.map(u64::from))];
    all.into_iter().filter_map(|(name, limit)| Some(named(name, Field::Number(limit?)))).collect()
}

fn dates(key: &KeyMetadata) -> Fields {
    let all = [("created_at", &key.created_at), ("updated_at", &key.updated_at)];
    all.into_iter().filter_map(|(name, date)| Some(named(name, Field::Text(date.clone()?)))).collect()
}

fn with_dates(key: &KeyMetadata, now: &str) -> Fields {
    let mut fields = fields(key);
    let created = key.created_at.as_deref().unwrap_or(now);
    fields.push(named("created_at", Field::Text(created.to_owned())));
    fields.push(named("updated_at", Field::Text(now.to_owned())));
    fields
}

fn named(name: &str, field: Field) -> (String, Field) {
    (name.to_owned(), field)
}

fn rfc3339(time: SystemTime) -> Result<String, ConfigError> {
    let text = Timestamp::try_from(time).and_then(|time| time.round(Unit::Second));
    text.map(|time| time.to_string())
        .map_err(|_| ConfigError::new("the clock of this machine is outside the years that a date can name"))
}

impl From<Field> for CstInputValue {
    fn from(field: Field) -> Self {
        match field {
            Field::Flag(flag) => Self::Bool(flag),
            Field::Number(number) => Self::Number(number.to_string()),
            Field::Text(text) => Self::String(text),
            Field::Fields(fields) => {
                Self::Object(fields.into_iter().map(|(name, field)| (name, field.into())).collect())
            }
        }
    }
}
