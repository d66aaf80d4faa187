//! Searches output for secrets, whole or in part.

/// Shorter pieces of a secret are not looked for: they would be found by chance.
const PIECE: usize = 8;

/// Panics if the text holds one of the secrets, or any 8 characters in a row of one (the first
/// characters "to tell the keys apart" are a leak too). The message does not repeat the secret.
///
/// # Panics
/// On a leak, and for a secret under 8 bytes: it could not be told from chance.
pub fn assert_absent(haystack: &str, secrets: &[&str]) {
    for (index, secret) in secrets.iter().enumerate() {
        assert!(secret.len() >= PIECE, "secret {index} is too short to be searched for");
        let leaked = secret
            .as_bytes()
            .windows(PIECE)
            .position(|piece| haystack.as_bytes().windows(PIECE).any(|found| found == piece));
        if let Some(at) = leaked {
            let safe =
                secrets.iter().fold(haystack.to_owned(), |text, secret| text.replace(secret, "[secret]"));
            panic!(
                "characters {at}.. of secret {index} were found in the text; without whole secrets: {safe}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_the_secret_passes() {
        assert_absent("env:GEMINI_KEY_a: not set", &["sentinel-3f9c2e71"]);
    }

    #[test]
    #[should_panic(expected = "of secret 1 were found in the text; without whole secrets: key=[secret]")]
    fn a_whole_secret_is_found() {
        assert_absent("key=sentinel-3f9c2e71", &["other-secret-0000", "sentinel-3f9c2e71"]);
    }

    #[test]
    #[should_panic(expected = "characters 0.. of secret 0")]
    fn its_first_characters_are_found() {
        assert_absent("key=sentinel...", &["sentinel-3f9c2e71"]);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_secret_that_chance_would_find_is_refused() {
        assert_absent("", &["abc"]);
    }
}
