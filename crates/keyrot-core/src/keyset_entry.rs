//! One entry of keys.json, field by field: what was found and what is allowed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jsonc_parser::ast::{Object, Value};

use crate::key::{KeyId, KeyMetadata, Limits, ModelName, ProjectId, looks_like_an_api_key};

/// Every field that an entry may have; another one is kept and means nothing.
pub(crate) const FIELDS: [&str; 15] = [
    "key_id",
    "model_name",
    "provider",
    "project",
    "secret",
    "rpm",
    "tpm",
    "rpd",
    "models",
    "priority",
    "weight",
    "active",
    "tags",
    "created_at",
    "updated_at",
];

/// The names in `object` that are no field of an entry, or of one of its models.
pub(crate) fn unknown_fields(object: &Object<'_>) -> Vec<String> {
    let mut unknown = Vec::new();
    for field in &object.properties {
        match (field.name.as_str(), &field.value) {
            ("models", Value::Object(models)) => {
                let limits = models.properties.iter().filter_map(|model| match &model.value {
                    Value::Object(limits) => Some((model.name.as_str(), limits)),
                    _ => None,
                });
                for (model, limits) in limits {
                    let names = limits.properties.iter().map(|limit| limit.name.as_str());
                    let others = names.filter(|name| !["rpm", "tpm", "rpd"].contains(name));
                    unknown.extend(others.map(|name| format!("models.{model}.{name}")));
                }
            }
            (name, _) if !FIELDS.contains(&name) => unknown.push(name.to_owned()),
            _ => {}
        }
    }
    unknown
}

/// An object of the file whose fields are read one by one.
pub(crate) struct Entry<'a, 'p> {
    place: String,
    fields: HashMap<&'a str, &'a Value<'a>>,
    problems: &'p mut Vec<String>,
}

impl<'a, 'p> Entry<'a, 'p> {
    pub(crate) fn new(place: String, object: &'a Object<'a>, problems: &'p mut Vec<String>) -> Self {
        let mut entry = Self { place, fields: HashMap::new(), problems };
        let mut stated = HashSet::new();
        for field in &object.properties {
            let name = field.name.as_str();
            if !stated.insert(name) {
                entry.problem(name, "is stated twice; once is allowed");
            }
            // null is what the original program writes for "nothing": the same as absent
            if !matches!(field.value, Value::NullKeyword(_)) {
                entry.fields.insert(name, &field.value);
            }
        }
        entry
    }

    fn problem(&mut self, field: &str, what: &str) {
        self.problems.push(format!("{}: {field} {what}", self.place));
    }

    fn wrong(&mut self, field: &str, allowed: &str) {
        let found = self.fields.get(field).map_or("missing".to_owned(), |value| match value {
            Value::NumberLit(number) => number.value.to_owned(),
            value => kind(value).to_owned(),
        });
        self.problem(field, &format!("is {found}; allowed: {allowed}"));
    }

    /// The entry, or `None` when a required field is unusable; all problems are noted either way.
    pub(crate) fn read(&mut self) -> Option<KeyMetadata> {
        let key_id = self.required("key_id", "the unique name of the key");
        let key_id = key_id.and_then(|text| match KeyId::parse(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.problems.push(format!("{}: {error}", self.place));
                None
            }
        });
        if let Some(id) = &key_id {
            self.place = format!("{} ({id})", self.place);
        }
        let model = self.required("model_name", "the model that the key serves");
        let limits = self.limits();
        let provider = self.text("provider");
        let project = self.text("project").map(ProjectId::from);
        let secret = self.secret();
        let priority = self.number("priority").unwrap_or(0);
        let weight = self.number("weight").unwrap_or(1);
        let active = self.flag("active").unwrap_or(true);
        let tags = self.tags();
        let models = self.models();
        let created_at = self.timestamp("created_at");
        let updated_at = self.timestamp("updated_at");
        Some(KeyMetadata {
            key_id: key_id?,
            model_name: model?.into(),
            provider: provider.unwrap_or("gemini").to_owned(),
            project,
            priority,
            weight,
            active,
            tags,
            limits,
            models,
            secret,
            created_at,
            updated_at,
        })
    }

    fn required(&mut self, field: &str, meaning: &str) -> Option<&'a str> {
        if !self.fields.contains_key(field) {
            self.problem(field, &format!("is missing; it is {meaning}"));
        }
        self.text(field)
    }

    fn text(&mut self, field: &str) -> Option<&'a str> {
        match *self.fields.get(field)? {
            Value::StringLit(text) if !text.value.trim().is_empty() => Some(&text.value),
            Value::StringLit(_) => {
                self.problem(field, "is empty; allowed: a text, or leave the field out");
                None
            }
            _ => {
                self.wrong(field, "a text in double quotes");
                None
            }
        }
    }

    /// The name of a secret. Who writes the secret itself here is told, without repeating it.
    fn secret(&mut self) -> Option<String> {
        let name = self.text("secret")?;
        if looks_like_an_api_key(name) {
            self.problem(
                "secret",
                "looks like an API key; allowed: the name under which the secret store holds it. \
                 Take the key out of this file, and replace it at the provider if others saw it",
            );
            return None;
        }
        Some(name.to_owned())
    }

    fn flag(&mut self, field: &str) -> Option<bool> {
        match *self.fields.get(field)? {
            Value::BooleanLit(flag) => Some(flag.value),
            _ => {
                self.wrong(field, "true or false");
                None
            }
        }
    }

    fn number<N: TryFrom<u64> + Bounded>(&mut self, field: &str) -> Option<N> {
        let value = *self.fields.get(field)?;
        let number = match value {
            Value::NumberLit(number) => whole(number.value).and_then(|whole| N::try_from(whole).ok()),
            _ => None,
        };
        if number.is_none() {
            self.wrong(field, &format!("a whole number from 0 to {}", N::LARGEST));
        }
        number
    }

    fn limits(&mut self) -> Limits {
        Limits { rpm: self.number("rpm"), tpm: self.number("tpm"), rpd: self.number("rpd") }
    }

    /// The fields of an inner object; empty if it is absent or no object.
    fn inner(&mut self, field: &str, allowed: &str) -> Option<Entry<'a, '_>> {
        match *self.fields.get(field)? {
            Value::Object(object) => {
                Some(Entry::new(format!("{}: {field}", self.place), object, self.problems))
            }
            _ => {
                self.wrong(field, allowed);
                None
            }
        }
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        let Some(mut inner) = self.inner("tags", "an object such as {\"region\": \"us-east\"}") else {
            return BTreeMap::new();
        };
        let names: BTreeSet<&str> = inner.fields.keys().copied().collect();
        let mut tags = BTreeMap::new();
        for name in names {
            let value = match inner.fields[name] {
                Value::StringLit(text) => text.value.to_string(),
                Value::NumberLit(number) => number.value.to_owned(),
                Value::BooleanLit(flag) => flag.value.to_string(),
                _ => {
                    inner.wrong(name, "a text, a number, true or false");
                    continue;
                }
            };
            tags.insert(name.to_owned(), value);
        }
        tags
    }

    fn models(&mut self) -> BTreeMap<ModelName, Limits> {
        let allowed = "an object such as {\"gemini-2.5-pro\": {\"rpm\": 5}}";
        let Some(mut inner) = self.inner("models", allowed) else { return BTreeMap::new() };
        let names: BTreeSet<&str> = inner.fields.keys().copied().collect();
        let mut models = BTreeMap::new();
        for name in names {
            if let Some(mut model) = inner.inner(name, "an object such as {\"rpm\": 5}") {
                let limits = model.limits();
                models.insert(ModelName::from(name), limits);
            }
        }
        models
    }

    fn timestamp(&mut self, field: &str) -> Option<String> {
        let text = self.text(field)?;
        if text.parse::<Timestamp>().is_err() && text.parse::<DateTime>().is_err() {
            let what = format!(
                "is {text:?}; allowed: a time such as 2024-01-01T00:00:00Z (without a zone it means UTC)"
            );
            self.problem(field, &what);
            return None;
        }
        Some(text.to_owned())
    }
}

/// Types of number fields and what to name as their end.
trait Bounded {
    const LARGEST: u64;
}

impl Bounded for u32 {
    const LARGEST: u64 = Self::MAX as u64;
}

impl Bounded for u64 {
    const LARGEST: Self = Self::MAX;
}

/// `1000000`, and `1e6` which is the same number in JSON; `None` for fractions and negative numbers.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        let exact = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
        exact.then_some(number as u64)
    })
}

pub(crate) fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a text",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "true or false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}
