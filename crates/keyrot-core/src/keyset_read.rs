//! Text of keys.json to entries: every problem of a file is named at once.

use std::collections::{HashMap, HashSet};

use jsonc_parser::ast::Value;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::error::ConfigError;
use crate::key::{KeyId, KeyMetadata, ProjectId};
use crate::keyset_entry::{self, Entry, kind};

/// JSON with comments and trailing commas; the looser dialects of the parser are off.
pub(crate) fn dialect() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The entries in the order of the file. Projects are as stated: see [`share_projects`].
pub(crate) fn entries(text: &str) -> Result<Vec<KeyMetadata>, ConfigError> {
    let document = parse_to_ast(text, &CollectOptions::default(), &dialect())
        .map_err(|error| ConfigError::new(format!("not JSON: {error}")))?;
    let Some(Value::Object(root)) = &document.value else {
        return Err(ConfigError::new("the file must hold an object: { \"keys\": [ ... ] }"));
    };
    let lists: Vec<_> = root.properties.iter().filter(|field| field.name.as_str() == "keys").collect();
    let [list] = lists[..] else {
        let found = if lists.is_empty() { "is missing" } else { "is stated twice" };
        return Err(ConfigError::new(format!("\"keys\" {found}; allowed: one list of entries")));
    };
    let Value::Array(list) = &list.value else {
        let found = kind(&list.value);
        return Err(ConfigError::new(format!("\"keys\" is {found}; allowed: a list of entries")));
    };
    let mut keys = Vec::new();
    let mut problems = Vec::new();
    let mut seen = HashMap::new();
    for (index, element) in list.elements.iter().enumerate() {
        let Value::Object(object) = element else {
            problems.push(format!("keys[{index}] is {}; allowed: an object", kind(element)));
            continue;
        };
        let mut entry = Entry::new(format!("keys[{index}]"), object, &mut problems);
        if let Some(key) = entry.read() {
            if let Some(first) = seen.insert(key.key_id.clone(), index) {
                problems.push(format!(
                    "keys[{first}] and keys[{index}] both have the key_id {}; each needs its own",
                    key.key_id
                ));
            }
            keys.push(key);
        }
    }
    ConfigError::of(problems).map_or(Ok(keys), Err)
}

/// Key id and field of what [`entries`] passes over; nothing if the text is no keys.json.
pub(crate) fn unknown_fields(text: &str) -> Vec<(String, String)> {
    let document = parse_to_ast(text, &CollectOptions::default(), &dialect()).ok();
    let Some(Value::Object(root)) = document.and_then(|document| document.value) else { return Vec::new() };
    let list = root.properties.iter().find(|field| field.name.as_str() == "keys");
    let Some(Value::Array(list)) = list.map(|list| &list.value) else { return Vec::new() };
    let objects = list.elements.iter().filter_map(|element| match element {
        Value::Object(object) => Some(object),
        _ => None,
    });
    let mut unknown = Vec::new();
    for object in objects {
        let id = object.properties.iter().find_map(|field| match (field.name.as_str(), &field.value) {
            ("key_id", Value::StringLit(id)) => Some(id.value.to_string()),
            _ => None,
        });
        let fields = keyset_entry::unknown_fields(object).into_iter();
        unknown.extend(fields.map(|field| (id.clone().unwrap_or_default(), field)));
    }
    unknown
}

/// Entries with the same explicit `secret` are one key at the provider, so they are in one project: the
/// one that any of them states, else one named after the alphabetically first of their ids (so that
/// changing the order of the file changes nothing). Sets it where it is not stated; returns those ids.
pub(crate) fn share_projects(keys: &mut [KeyMetadata]) -> Result<HashSet<KeyId>, ConfigError> {
    let mut by_secret: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        if let Some(secret) = &key.secret {
            by_secret.entry(secret).or_default().push(index);
        }
    }
    let mut shared: Vec<Vec<usize>> = by_secret.into_values().filter(|group| group.len() > 1).collect();
    shared.sort_unstable(); // problems come in the order of the file
    let mut problems = Vec::new();
    let mut implied = HashSet::new();
    for group in shared {
        let stated = group.iter().find_map(|&index| keys[index].project.clone().map(|name| (index, name)));
        let project = match &stated {
            Some((_, project)) => project.clone(),
            None => match group.iter().map(|&index| &keys[index].key_id).min() {
                Some(id) => ProjectId::from(id.as_str()),
                None => continue,
            },
        };
        for &index in &group {
            match (&keys[index].project, &stated) {
                (None, _) => {
                    implied.insert(keys[index].key_id.clone());
                    keys[index].project = Some(project.clone());
                }
                (Some(own), Some((first, _))) if *own != project => problems.push(format!(
                    "{} and {} have the same secret, so they are one key in one project, but project is \
                     {project:?} and {own:?}; state the same in both or in only one",
                    keys[*first].key_id,
                    keys[index].key_id,
                    project = project.as_str(),
                    own = own.as_str(),
                )),
                _ => {}
            }
        }
    }
    ConfigError::of(problems).map_or(Ok(implied), Err)
}
