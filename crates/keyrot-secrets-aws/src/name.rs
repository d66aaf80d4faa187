//! What the secret of a key is called, and what may be a name.

use keyrot_core::KeyMetadata;

/// Secrets Manager's own bound, in characters.
pub(crate) const LONGEST: usize = 512;

/// The rule of [`allowed`] in words.
pub(crate) const CHARACTERS: &str = "A-Z a-z 0-9 / _ + = . @ -";

/// True for a character that a name may hold.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>, `Name`.
pub(crate) fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/_+=.@-".contains(c)
}

/// The name or ARN of the key's secret: the one that its entry states, else its id behind the prefix.
pub(crate) fn secret_id(key: &KeyMetadata, prefix: &str) -> String {
    key.secret.clone().unwrap_or_else(|| format!("{prefix}{}", key.key_id))
}

/// True if it is an ARN (`arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`), good or bad.
pub(crate) fn is_arn(id: &str) -> bool {
    id.starts_with("arn:")
}

/// What is wrong with a name or an ARN. `region` is the one that is asked, if that is known: another one's secrets are not
/// there.
pub(crate) fn problem(id: &str, region: Option<&str>) -> Option<String> {
    let name = if is_arn(id) {
        let Some([its_region, name]) = region_and_name(id) else {
            return Some(format!(
                "{id:?} is not the ARN of a secret; allowed: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, as \
                 `aws secretsmanager list-secrets` shows it"
            ));
        };
        if let Some(region) = region.filter(|region| *region != its_region) {
            return Some(format!(
                "{id:?} is of the region {its_region}, and AWS_REGION is {region}; allowed: an ARN of {region}, as `aws \
                 secretsmanager list-secrets --region {region}` shows it"
            ));
        }
        name
    } else {
        id
    };
    let good = !name.is_empty() && name.len() <= LONGEST && name.chars().all(allowed);
    (!good).then(|| {
        format!(
            "{id:?} cannot be the name of a secret; allowed: 1 to {LONGEST} of {CHARACTERS}, or a whole ARN; `aws \
             secretsmanager list-secrets` shows those there are"
        )
    })
}

fn region_and_name(arn: &str) -> Option<[&str; 2]> {
    let mut parts = arn.splitn(7, ':').skip(1);
    let [partition, service, region, account, kind, name] =
        std::array::from_fn(|_| parts.next().unwrap_or(""));
    let good = partition.starts_with("aws")
        && service == "secretsmanager"
        && !region.is_empty()
        && account.len() == 12
        && account.chars().all(|c| c.is_ascii_digit())
        && kind == "secret";
    good.then_some([region, name])
}

#[cfg(test)]
mod tests {
    use keyrot_core::KeyId;

    use super::*;

    #[test]
    fn the_guides_name_and_a_stated_one_as_it_is() {
        let mut key = KeyMetadata::new(KeyId::parse("flash_01").unwrap(), "m");
        assert_eq!(secret_id(&key, "algoagent/"), "algoagent/flash_01");
        key.secret = Some("team/gemini".to_owned());
        assert_eq!(secret_id(&key, "algoagent/"), "team/gemini");
    }

    #[test]
    fn names_and_arns() {
        let longest = "n".repeat(LONGEST);
        for good in [
            "algoagent/flash_01",
            "a",
            "A+b=c.d@e-f",
            longest.as_str(),
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:algoagent/flash_01-AbCdEf",
            "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x",
        ] {
            assert_eq!(problem(good, None), None, "{good}");
        }
        let too_long = "n".repeat(LONGEST + 1);
        for bad in [
            "",
            "a b",
            "a:b",
            "clé",
            "a\nb",
            "a?b",
            too_long.as_str(),
            "arn:aws:s3:::bucket",
            "arn:aws:secretsmanager:eu-west-1:123:secret:x",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:b",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/x",
        ] {
            assert!(problem(bad, None).is_some(), "{bad}");
        }
    }

    #[test]
    fn an_arn_of_another_region_than_the_one_asked_is_told() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x";
        assert_eq!(problem(arn, Some("eu-west-1")), None);
        let told = problem(arn, Some("us-east-1")).unwrap();
        assert!(
            told.contains("is of the region eu-west-1, and AWS_REGION is us-east-1; allowed: "),
            "{told}"
        );
    }
}
