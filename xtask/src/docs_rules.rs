//! Rules about what the documentation points to and shows.

use crate::markdown;
use crate::rust_text;
use crate::tree::{self, File};
use crate::variable_rules;

/// Files that a user makes by following the documentation.
const USER_FILES: [&str; 2] = ["keys.json", "package.json"];

/// Every link inside the project leads to a file, and to a heading if it names one.
pub(crate) fn links(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_documentation()) {
        for (line, target) in markdown::cut(&file.text).links() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if let Some(problem) = broken_link(files, file, &target) {
                findings.push(format!("{}:{line}: the link `{target}` {problem}", file.path));
            }
        }
    }
    findings
}

fn broken_link(files: &[File], from: &File, target: &str) -> Option<&'static str> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let to = if path.is_empty() {
        from
    } else {
        let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = resolve(folder, path);
        match tree::find(files, &path) {
            Some(file) => file,
            None if is_folder(files, &path) => return None,
            None => return Some("leads to no file of the project"),
        }
    };
    let lacks = !anchor.is_empty()
        && to.path.ends_with(".md")
        && !markdown::cut(&to.text).anchors().iter().any(|known| known == anchor);
    lacks.then_some("names a heading that is not there")
}

/// `path` as seen from `folder`, without `.` and `..`.
fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn is_folder(files: &[File], path: &str) -> bool {
    let prefix = format!("{}/", path.trim_end_matches('/'));
    files.iter().any(|file| file.path.starts_with(&prefix))
}

/// No example is kept from being compiled: what a test does not read is wrong sooner or later.
pub(crate) fn skipped_examples(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut judge = |file: &File, line: usize, info: &str| {
        if info.split([',', ' ']).any(|option| option == "ignore") {
            findings.push(format!(
                "{}:{line}: let the example compile; `no_run` if it needs a network",
                file.path
            ));
        }
    };
    for file in files {
        if file.is_rust() {
            for (line, comment) in rust_text::cut(&file.text).comments {
                if let Some(info) = comment.strip_prefix("```") {
                    judge(file, line, info);
                }
            }
        } else if file.path.ends_with(".md") {
            for fence in markdown::cut(&file.text).fences {
                judge(file, fence.line, &fence.info);
            }
        }
    }
    findings
}

/// A `console` block is not run: each variable, path and key in it must exist at least.
pub(crate) fn console_examples(files: &[File]) -> Vec<String> {
    let variables = variable_rules::documented(files);
    let keys = example_keys(files);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_documentation()) {
        for fence in markdown::cut(&file.text).fences.iter().filter(|fence| fence.info == "console") {
            for (offset, line) in fence.lines.iter().enumerate() {
                let number = fence.line + 1 + offset;
                let mut report = |what: String| findings.push(format!("{}:{number}: {what}", file.path));
                if let Some(variables) = &variables {
                    let unknown = variable_rules::used_in_shell(line)
                        .filter(|name| !variable_rules::is_known(name, variables));
                    unknown.for_each(|name| report(format!("`{name}` is not in docs/configuration.md")));
                }
                if let Some(keys) = &keys {
                    let unknown = key_names(line).filter(|name| !keys.contains(name));
                    unknown.for_each(|name| report(format!("the key `{name}` is not in keys_example.json")));
                }
                let missing = project_paths(line).filter(|path| !exists(files, path));
                missing.for_each(|path| report(format!("the project has no `{path}`")));
            }
        }
    }
    findings
}

fn exists(files: &[File], path: &str) -> bool {
    USER_FILES.contains(&path) || tree::find(files, path).is_some() || is_folder(files, path)
}

/// The ids in keys_example.json, if the file is there.
fn example_keys(files: &[File]) -> Option<Vec<String>> {
    let file = tree::find(files, "keys_example.json")?;
    let value: serde_json::Value = serde_json::from_str(&file.text).unwrap_or_default();
    let keys = value["keys"].as_array()?;
    Some(keys.iter().filter_map(|key| key["key_id"].as_str().map(str::to_owned)).collect())
}

/// Words of the form `flash_01`, alone or at the end of `GEMINI_KEY_flash_01`.
fn key_names(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter_map(|word| {
        let name =
            word.trim_start_matches(|character: char| character.is_ascii_uppercase() || character == '_');
        let (kind, number) = name.rsplit_once('_')?;
        let is_key = !kind.is_empty()
            && kind.chars().all(|character| character.is_ascii_lowercase())
            && number.len() == 2
            && number.chars().all(|character| character.is_ascii_digit());
        is_key.then(|| name.to_owned())
    })
}

/// Words that are a path inside the project.
fn project_paths(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|character: char| character.is_whitespace() || "\"'=,:()`".contains(character));
    words.map(|word| word.trim_start_matches("./")).filter(|word| {
        let folders = ["crates/", "docs/", "tests/", "xtask/"];
        let bare_file =
            !word.contains('/') && [".json", ".md", ".toml"].iter().any(|end| word.ends_with(end));
        bare_file || folders.iter().any(|folder| word.starts_with(folder))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn a_link_leads_to_a_file_a_folder_or_a_heading() {
        let target = file("docs/b.md", "# Here\n");
        let check = |link: &str| {
            let text = format!("[x]({link})\n# Top");
            links(&[file("docs/a.md", &text), target.clone(), file("LICENSE-MIT", "")]).len()
        };
        for good in ["b.md", "b.md#here", "#top", "../LICENSE-MIT", "../docs/", "https://example.com/x"] {
            assert_eq!(check(good), 0, "{good}");
        }
        for bad in ["c.md", "b.md#there", "#bottom", "LICENSE-MIT"] {
            assert_eq!(check(bad), 1, "{bad}");
        }
    }

    #[test]
    fn an_example_that_is_not_compiled_is_found() {
        let check = |path, text| skipped_examples(&[file(path, text)]).len();
        assert_eq!(check("a.rs", "/// ```ignore\n/// a\n/// ```"), 1);
        assert_eq!(check("a.rs", "/// ```no_run\n/// a\n/// ```"), 0);
        assert_eq!(check("docs/a.md", "```rust,ignore\na\n```"), 1);
    }

    #[test]
    fn a_console_block_names_only_what_exists() {
        let check = |line: &str| {
            let files = [
                file("docs/a.md", &format!("```console\n{line}\n```")),
                file("docs/configuration.md", "| `REDIS_URL` | x |\n| `GEMINI_KEY_{key_id}` | x |"),
                file("keys_example.json", r#"{"keys": [{"key_id": "flash_01"}]}"#),
            ];
            console_examples(&files).join("\n")
        };
        for good in [
            "$ export REDIS_URL=redis://localhost GEMINI_KEY_flash_01=x",
            "$ cp keys_example.json keys.json && cat docs/configuration.md",
            "$ echo $HOME",
        ] {
            assert_eq!(check(good), "", "{good}");
        }
        assert!(check("$ export REDIS_URI=x").contains("`REDIS_URI` is not in docs/configuration.md"));
        assert!(check("$ export GEMINI_KEY_flash_09=x").contains("the key `flash_09`"));
        assert!(check("$ vault kv put secret/algoagent/flush_01 value=x").contains("the key `flush_01`"));
        assert!(check("$ cat docs/other.md").contains("no `docs/other.md`"));
        assert!(check("$ cp keys.sample.json keys.json").contains("no `keys.sample.json`"));
    }

    #[test]
    fn prose_and_other_blocks_are_not_judged_as_console() {
        let text = "export X_Y=1\n```bash\nexport X_Y=1\n```";
        let files = [file("docs/a.md", text), file("docs/configuration.md", "| `REDIS_URL` |")];
        assert!(console_examples(&files).is_empty());
    }
}
