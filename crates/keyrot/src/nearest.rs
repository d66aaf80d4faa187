//! The known name that somebody probably meant.

/// The candidate that is nearest to `name`, if it is near: a few letters wrong, missing or too many.
pub(crate) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let near = |candidate: &&'a str| (distance(name, candidate), *candidate);
    let (distance, candidate) = candidates.iter().map(near).min()?;
    (distance <= name.len().max(candidate.len()) / 3).then_some(candidate)
}

/// How many letters must be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_something_else_finds_none() {
        let names = ["KEYROT_KEYS_FILE", "KEYROT_MODEL", "KEYROT_SECRET_TTL"];
        for (typed, meant) in [
            ("KEYROT_KEY_FILE", Some("KEYROT_KEYS_FILE")),
            ("KEYROT_MODLE", Some("KEYROT_MODEL")),
            ("KEYROT_SECRETS_TTL", Some("KEYROT_SECRET_TTL")),
            ("KEYROT_ZZZZZZZZZZZZ", None),
        ] {
            assert_eq!(nearest(typed, &names), meant, "{typed}");
        }
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
