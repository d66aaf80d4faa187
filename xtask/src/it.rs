//! `cargo xtask it SERVER [FILTER]`: the tests that talk to a real server, without the rest of `cargo xtask test`.

use crate::metadata::{self, Workspace};
use crate::{provision, run, test};

/// A kind of server.
struct Server {
    name: &'static str,
    /// The backend: all of its tests are run.
    backend: &'static str,
    /// Elsewhere a test belongs to the server if one of these is in its name, of which its module is a part.
    words: &'static [&'static str],
}

const SERVERS: [Server; 4] = [
    Server { name: "vault", backend: "keyrot-secrets-vault", words: &["vault", "openbao"] },
    Server { name: "aws", backend: "keyrot-secrets-aws", words: &["aws", "moto"] },
    Server { name: "azure", backend: "keyrot-secrets-azure", words: &["azure"] },
    Server { name: "redis", backend: "keyrot-ratelimit-redis", words: &["redis", "valkey", "sentinel"] },
];

/// Packages that test with more than one kind of server.
const SHARED: [&str; 4] = ["keyrot", "keyrot-cli", "keyrot-e2e", "keyrot-test-servers"];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (servers, filter) = parse(arguments)?;
    let workspace = metadata::load()?;
    let (packages, expression) = choose(&workspace, &servers, filter);
    let tools = provision::tools(&workspace)?;
    let mut command = test::nextest(&tools);
    for package in packages {
        command.args(["--package", package]);
    }
    run::run(command.args(["-E", &expression]))
}

fn parse(arguments: &[String]) -> Result<(Vec<&'static Server>, Option<&str>), String> {
    let names = "vault, aws, azure, redis or all";
    let (wanted, filter) = match arguments {
        [] => return Err(format!("which server? {names}")),
        [wanted] => (wanted, None),
        [wanted, filter] => (wanted, Some(filter.as_str())),
        [_, _, more, ..] => return Err(format!("`{more}`: one filter at most")),
    };
    let servers: Vec<_> = SERVERS.iter().filter(|server| wanted == "all" || wanted == server.name).collect();
    if servers.is_empty() {
        Err(format!("there is no server `{wanted}`; there is {names}"))
    } else {
        Ok((servers, filter))
    }
}

/// The packages to build, and which of their tests to run, in the language of nextest.
fn choose<'a>(workspace: &'a Workspace, servers: &[&Server], filter: Option<&str>) -> (Vec<&'a str>, String) {
    let mut packages = Vec::new();
    let mut tests = Vec::new();
    for package in workspace.packages.iter().map(|package| package.name.as_str()) {
        if servers.iter().any(|server| server.backend == package) {
            packages.push(package);
            tests.push(format!("package({package})"));
        } else if SHARED.contains(&package) {
            packages.push(package);
        }
    }
    tests.extend(servers.iter().flat_map(|server| server.words).map(|word| format!("test({word})")));
    let tests = tests.join(" | ");
    let narrower = filter.map(|filter| format!(" & test({filter})")).unwrap_or_default();
    (packages, format!("({tests}){narrower}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(arguments: &[&str]) -> Result<(Vec<String>, String), String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (servers, filter) = parse(&arguments)?;
        let workspace = metadata::load().unwrap();
        let (packages, expression) = choose(&workspace, &servers, filter);
        Ok((packages.into_iter().map(str::to_owned).collect(), expression))
    }

    #[test]
    fn one_server_leaves_the_others_tests_out() {
        let (packages, expression) = chosen(&["vault"]).unwrap();
        assert!(packages.contains(&"keyrot-test-servers".to_owned()), "{packages:?}");
        assert!(!packages.contains(&"keyrot-core".to_owned()), "{packages:?}");
        assert!(expression.contains("test(vault) | test(openbao)"), "{expression}");
        assert!(!expression.contains("redis"), "{expression}");
        let all = chosen(&["all"]).unwrap().1;
        assert!(SERVERS.iter().all(|server| all.contains(server.name)), "{all}");
    }

    #[test]
    fn a_filter_narrows_all_of_it() {
        let expression = chosen(&["aws", "throttled"]).unwrap().1;
        assert!(expression.starts_with('(') && expression.ends_with(") & test(throttled)"), "{expression}");
    }

    #[test]
    fn an_unknown_server_and_a_second_filter_are_named() {
        assert!(chosen(&[]).unwrap_err().contains("vault, aws, azure, redis or all"));
        assert!(chosen(&["gcp"]).unwrap_err().contains("`gcp`"));
        assert!(chosen(&["aws", "a", "b"]).unwrap_err().contains("`b`"));
    }
}
