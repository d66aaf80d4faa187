//! Did the model answer that was asked?

/// True if `answered` (the reply's `modelVersion`) is what `asked` stands for.
///
/// An alias (`gemini-flash-latest`) stands for whatever the provider chooses. A name without a version
/// stands for its versions: `gemini-2.5-flash` for `gemini-2.5-flash-001` and for
/// `gemini-2.5-flash-preview-09-2025`, but not for `gemini-2.5-flash-lite`. A name with a stable version
/// may be answered by the name without it.
///
/// ```
/// use strategy_gen::same_model;
/// assert!(same_model("gemini-2.5-flash", "gemini-2.5-flash-001"));
/// assert!(!same_model("gemini-2.5-flash", "gemini-3.8-flash"));
/// ```
pub fn same_model(asked: &str, answered: &str) -> bool {
    let plain = |name: &str| name.trim().trim_start_matches("models/").to_ascii_lowercase();
    let (asked, answered) = (plain(asked), plain(answered));
    asked == answered
        || asked.ends_with("-latest")
        || answered.strip_prefix(asked.as_str()).is_some_and(is_version)
        || asked.strip_prefix(answered.as_str()).is_some_and(is_stable)
}

/// `-001`, `-preview-09-2025`, `-exp-0827`: a version of the same model.
fn is_version(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('-') else { return false };
    let mut parts = rest.split('-').skip_while(|part| matches!(*part, "preview" | "exp" | "experimental"));
    !rest.is_empty() && parts.all(is_number)
}

/// `-001`.
fn is_stable(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(is_number)
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_aliases_are_no_mismatch_and_other_models_are() {
        let same = [
            ("gemini-2.5-flash", "gemini-2.5-flash"),
            ("models/gemini-2.5-flash", "gemini-2.5-flash"),
            ("gemini-2.5-flash", "gemini-2.5-flash-001"),
            ("gemini-2.5-flash", "gemini-2.5-flash-preview-05-20"),
            ("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025"),
            ("gemini-3.1-pro", "gemini-3.1-pro-preview"),
            ("gemini-2.0-flash", "gemini-2.0-flash-exp"),
            ("gemini-2.5-flash-001", "gemini-2.5-flash"),
            ("gemini-flash-latest", "gemini-3.8-flash"),
            ("gemini-pro-latest", "gemini-3.1-pro-preview"),
        ];
        for (asked, answered) in same {
            assert!(same_model(asked, answered), "{asked} {answered}");
        }
        let different = [
            ("gemini-2.5-flash", "gemini-3.8-flash"),
            ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
            ("gemini-2.5-flash", "gemini-2.5-flash-lite-001"),
            ("gemini-2.5-flash", "gemini-2.5-flash-image-preview"),
            ("gemini-2.5-flash-lite", "gemini-2.5-flash"),
            ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash"),
            ("gemini-2.5-flash-001", "gemini-2.5-flash-002"),
            ("gemini-2.5", "gemini-2.55"),
            ("gemini-2.5-flash", ""),
        ];
        for (asked, answered) in different {
            assert!(!same_model(asked, answered), "{asked} {answered}");
        }
    }
}
