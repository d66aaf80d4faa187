//! Takes API keys out of text that came from a provider, a proxy or a library.
//!
//! Google's error bodies print the caller's whole key in some refusals (`Consumer 'api_key:...' has been
//! suspended`), and proxies echo request lines. Too much is hidden rather than too little.

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// So many characters of a known secret in a row are hidden as its beginning.
const PREFIX: usize = 8;

/// Hides what looks like a key: `AIza...`, `AQ....`, the value after `api_key:`, `key=`,
/// `API key:` or `x-goog-api-key:`, and bearer tokens.
///
/// ```
/// let text = keyrot_gemini::redact("GET /v1beta/models?key=hunter2&pageSize=1 failed");
/// assert_eq!(text, "GET /v1beta/models?key=[redacted]&pageSize=1 failed");
/// ```
pub fn redact(text: &str) -> String {
    redact_secret(text, "")
}

/// As [`redact`], and hides `secret` itself: whole, percent-encoded, escaped as in JSON, or its first
/// eight characters or more. A secret shorter than that is hidden where it stands as a word of its own.
pub fn redact_secret(text: &str, secret: &str) -> String {
    let bytes = text.as_bytes();
    let mut clean = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some((from, to)) = hidden(bytes, at, secret.as_bytes()) else {
            at += 1;
            continue;
        };
        // Both ends stand beside ASCII characters, except where a prefix of a secret ends inside a character.
        let to = text.ceil_char_boundary(to);
        clean.push_str(&text[copied..from]);
        clean.push_str(MASK);
        copied = to;
        at = to;
    }
    clean.push_str(&text[copied..]);
    clean
}

/// One line of at most `limit` characters: white space and control characters become single spaces.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() > limit
        && let Some((cut, _)) = line.char_indices().nth(limit.saturating_sub(1))
    {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// The range to hide when something secret begins at `at`.
fn hidden(bytes: &[u8], at: usize, secret: &[u8]) -> Option<(usize, usize)> {
    known_secret(bytes, at, secret)
        .or_else(|| shape(bytes, at, b"AIza", 8, is_key_byte))
        .or_else(|| shape(bytes, at, b"AQ.", 20, |byte| is_key_byte(byte) || byte == b'.'))
        .or_else(|| after_key_word(bytes, at))
        .or_else(|| after_bearer(bytes, at))
}

fn known_secret(bytes: &[u8], at: usize, secret: &[u8]) -> Option<(usize, usize)> {
    let spellings: [Spelling; 3] = [plain, percent_encoded, json_escaped];
    let (matched, end) = spellings.into_iter().map(|spelling| common(bytes, at, secret, spelling)).max()?;
    if matched == 0 {
        return None;
    }
    if secret.len() < PREFIX {
        let word =
            |neighbour: Option<&u8>| neighbour.is_some_and(|&byte| is_key_byte(byte) || !byte.is_ascii());
        let alone = !word(at.checked_sub(1).and_then(|before| bytes.get(before))) && !word(bytes.get(end));
        return (matched == secret.len() && alone).then_some((at, end));
    }
    // The rest of the word goes too: it may be the tail of another key with the same beginning.
    let rest = bytes[end..].iter().take_while(|&&byte| is_key_byte(byte)).count();
    (matched >= PREFIX).then_some((at, end + rest))
}

/// Takes one byte off a text as it was before it was encoded: the byte, and how long its spelling is.
type Spelling = fn(&[u8]) -> Option<(u8, usize)>;

/// How much of the secret stands at `at` in this spelling, and where that ends.
fn common(bytes: &[u8], at: usize, secret: &[u8], spelling: Spelling) -> (usize, usize) {
    let mut end = at;
    for (matched, &wanted) in secret.iter().enumerate() {
        match spelling(&bytes[end..]) {
            Some((byte, length)) if byte == wanted => end += length,
            _ => return (matched, end),
        }
    }
    (secret.len(), end)
}

fn plain(text: &[u8]) -> Option<(u8, usize)> {
    Some((*text.first()?, 1))
}

fn percent_encoded(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'%', high, low, ..] => Some((hex(*high, *low)?, 3)),
        _ => plain(text),
    }
}

fn json_escaped(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', b'u', b'0', b'0', high, low, ..] => Some((hex(*high, *low)?, 6)),
        [b'\\', escaped, ..] => Some((*escaped, 2)),
        _ => plain(text),
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

fn shape(
    bytes: &[u8],
    at: usize,
    start: &[u8],
    shortest: usize,
    belongs: fn(u8) -> bool,
) -> Option<(usize, usize)> {
    let rest = bytes[at..].strip_prefix(start)?;
    let length = rest.iter().take_while(|&&byte| belongs(byte)).count();
    (length >= shortest).then_some((at, at + start.len() + length))
}

/// `key=VALUE` (also as `key%3D`), and `api key`, `api_key`, `api-key`, `apikey` with `:` or `=`.
fn after_key_word(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if !starts_with(&bytes[at..], b"key") {
        return None;
    }
    let before = bytes[..at].strip_suffix(b"_").or_else(|| bytes[..at].strip_suffix(b"-"));
    let before = before.or_else(|| bytes[..at].strip_suffix(b" ")).unwrap_or(&bytes[..at]);
    let of_api = before.len() >= 3 && before[before.len() - 3..].eq_ignore_ascii_case(b"api");
    let mut value = at + 3 + quotes(&bytes[at + 3..]);
    let separators: &[&[u8]] = if of_api { &[b"=", b"%3d", b":", b"%3a"] } else { &[b"=", b"%3d"] };
    value += separators.iter().find(|separator| starts_with(&bytes[value..], separator))?.len();
    value += bytes[value..].iter().take_while(|byte| **byte == b' ').count();
    value += quotes(&bytes[value..]);
    if bytes[value..].starts_with(MASK.as_bytes()) {
        return None;
    }
    let length = bytes[value..].iter().take_while(|&&byte| !ends_value(byte)).count();
    (length > 0).then_some((value, value + length))
}

fn after_bearer(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    const WORD: &[u8] = b"bearer ";
    if !starts_with(&bytes[at..], WORD) {
        return None;
    }
    let token = at + WORD.len();
    let length = bytes[token..].iter().take_while(|&&byte| !ends_value(byte)).count();
    (length >= 16).then_some((token, token + length)) // shorter: a word of a sentence
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Opening or closing quotes around a name or a value, escaped ones too.
fn quotes(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b'<')).count()
}

fn ends_value(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || byte.is_ascii_control()
        || matches!(byte, b'"' | b'\'' | b'`' | b'&' | b'<' | b'>' | b',' | b';' | b')' | b']' | b'}' | b'\\')
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "AIzaSyFAKE-sentinel-0000000000000000000";
    const NEW: &str = "AQ.Ab8RN6K_fake-sentinel.0000000000000000";

    #[test]
    fn both_shapes_go_wherever_they_stand() {
        for key in [OLD, NEW] {
            for text in [
                key.to_owned(),
                format!("Consumer 'api_key:{key}' has been suspended."),
                format!("Invalid API key: {key}"),
                format!("https://host/v1beta/models?key={key}&x=1"),
                format!("\"x-goog-api-key\": \"{key}\""),
                format!("ключ{key}ключ"),
            ] {
                let clean = redact(&text);
                assert!(!clean.contains(key) && !clean.contains("sentinel"), "{clean}");
                assert!(clean.contains(MASK), "{clean}");
            }
        }
    }

    #[test]
    fn keys_of_no_known_shape_go_by_what_stands_before_them() {
        for (text, clean) in [
            ("?key=abc&x=1", "?key=[redacted]&x=1"),
            ("continue=https%3A%2F%2Fh%3Fkey%3Dabc", "continue=https%3A%2F%2Fh%3Fkey%3D[redacted]"),
            ("'api_key:abc' is bad", "'api_key:[redacted]' is bad"),
            ("Invalid API key: abc", "Invalid API key: [redacted]"),
            (r#"{"apiKey":"abc"}"#, r#"{"apiKey":"[redacted]"}"#),
            (r#"{\"api_key\": \"abc\"}"#, r#"{\"api_key\": \"[redacted]\"}"#),
            ("Authorization: Bearer ya29.0123456789abcdef", "Authorization: Bearer [redacted]"),
        ] {
            assert_eq!(redact(text), clean);
            assert_eq!(redact(clean), clean, "a second pass changes nothing");
        }
    }

    #[test]
    fn ordinary_messages_stay_readable() {
        for text in [
            "API key not valid. Please pass a valid API key.",
            "The bearer token expired; keys: 3; monkey: ok",
            "see FAQ.html for AIza keys",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_known_secret_goes_in_every_spelling() {
        let secret = "p@ss/word+0123456789";
        for text in [
            "x p@ss/word+0123456789 y",
            "x p%40ss%2Fword%2b0123456789 y",
            r"x p@ss/word\u002b0123456789 y",
            r"x p@ss\/word+0123456789 y",
            "x p@ss/word... y",
            "x p@ss/word+01 y",
        ] {
            let clean = redact_secret(text, secret);
            assert!(clean.starts_with("x [redacted]") && clean.ends_with(" y"), "{clean}");
            assert!(!clean.contains("word"), "{clean}");
        }
    }

    #[test]
    fn a_short_secret_goes_only_as_a_word_of_its_own() {
        assert_eq!(redact_secret("x: extra x-ray (x)", "x"), "[redacted]: extra x-ray ([redacted])");
    }

    #[test]
    fn a_prefix_that_ends_inside_a_character_takes_it_along() {
        assert_eq!(redact_secret("пароль123Ж", "пароль123Я"), "[redacted]");
    }

    #[test]
    fn a_line_is_bounded_on_a_character_border() {
        assert_eq!(one_line(" a\n\tb\u{1b}[1m ", 10), "a b [1m");
        assert_eq!(one_line("ключи!", 5), "ключ…");
        assert_eq!(one_line("ключ", 4), "ключ");
        assert_eq!(one_line("", 4), "");
    }
}
