//! The shell blocks of the documentation: each page is one session, run line by line in a folder of its own with a
//! simulated Gemini behind it. `console` blocks are not run; the commands and options in them must exist.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::HashMap;

use keyrot_e2e::docs::{Block, Page, page, pages};
use keyrot_e2e::docs_shell::{Shell, simulator, text};

/// A block that only sets variables is for `.env`: the text before it says so. Any other is run.
fn script(page: &Page) -> String {
    let mut script = String::new();
    for block in page.blocks().iter().filter(|block| is_shell(block)) {
        script += &format!("echo '== {}' >&2\n", block.place);
        match is_env_file(block) {
            true => script += &format!("cat >> .env <<'END'\n{}END\n", block.text),
            false => script += &block.text,
        }
    }
    script
}

fn is_shell(block: &Block) -> bool {
    ["bash", "sh"].contains(&block.language.as_str())
}

fn is_env_file(block: &Block) -> bool {
    let mut lines = block.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.all(|line| line.split_once('=').is_some_and(|(name, _)| !name.contains(' ')))
}

/// Runs the page from an empty folder, or from one where rotation is set up.
async fn run(path: &str, shell: fn(String) -> Shell) {
    let script = script(&page(path));
    let server = simulator().await;
    let shell = shell(server.base_url().to_string());
    let output = tokio::task::spawn_blocking(move || shell.bash(&script)).await.unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{path}: {}\n{out}\n{err}", output.status);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_can_be_followed_from_its_first_line_to_its_last() {
    run("README.md", Shell::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_and_the_rollback_can_be_followed() {
    run("docs/migration.md", Shell::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_other_pages_works_where_rotation_is_set_up() {
    let own = ["README.md", "docs/migration.md"];
    for page in pages().iter().filter(|page| !own.contains(&page.path.as_str())) {
        if page.blocks().iter().any(is_shell) {
            run(&page.path, Shell::set_up).await;
        }
    }
}

/// `keyrot keys add flash_03 --model M`: what is called and with which options.
struct Invocation {
    subcommands: Vec<String>,
    options: Vec<String>,
}

fn invocations(block: &Block) -> Vec<Invocation> {
    let mut found = Vec::new();
    for line in block.text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "keyrot") else { continue };
        let words = &words[at + 1..];
        let name =
            |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
        let group = if matches!(words.first(), Some(&"keys" | &"secrets")) { 2 } else { 1 };
        found.push(Invocation {
            subcommands: words.iter().take(group).take_while(name).map(|word| (*word).to_owned()).collect(),
            options: words
                .iter()
                .filter(|word| word.starts_with("--"))
                .map(|word| (*word).to_owned())
                .collect(),
        });
    }
    found
}

#[test]
fn commands_that_are_only_shown_exist_with_their_options() {
    let shell = Shell::new("http://127.0.0.1:9".to_owned());
    let mut help: HashMap<Vec<String>, String> = HashMap::new();
    for block in pages().iter().flat_map(Page::blocks).filter(|block| block.language == "console") {
        for Invocation { subcommands, options } in invocations(&block) {
            let help = help.entry(subcommands.clone()).or_insert_with(|| {
                let mut words: Vec<&str> = subcommands.iter().map(String::as_str).collect();
                words.push("--help");
                let output = shell.keyrot(&words, &[]);
                assert!(output.status.success(), "{}: no command {subcommands:?}", block.place);
                text(&output.stdout)
            });
            for option in options {
                assert!(help.contains(&option), "{}: {subcommands:?} has no {option}", block.place);
            }
        }
    }
}
