//! The documentation as a test sees it: its pages, their fenced blocks and their tables.

use std::fs;
use std::path::{Path, PathBuf};

/// One page of the documentation.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path from the root of the project: `docs/failover.md`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The page and the line of the fence: `README.md:19`.
    pub place: String,
    /// The nearest heading above it, without its `#`.
    pub heading: String,
    /// The first word after the fence: `bash`.
    pub language: String,
    /// What is inside, without the indent of its fence.
    pub text: String,
}

/// The root of the project.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("this package lies in the project's root").to_owned()
}

/// README.md, every page of docs/ and the README of every crate.
///
/// # Panics
/// If one cannot be read.
pub fn pages() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned()];
    paths.extend(inside("docs").into_iter().filter(|path| path.ends_with(".md")));
    let readmes = inside("crates").into_iter().map(|folder| format!("{folder}/README.md"));
    paths.extend(readmes.filter(|path| root().join(path).exists()));
    paths.into_iter().map(page).collect()
}

/// The page at this path.
///
/// # Panics
/// If it cannot be read.
pub fn page(path: impl Into<String>) -> Page {
    let path = path.into();
    let text = fs::read_to_string(root().join(&path));
    Page { text: text.unwrap_or_else(|error| panic!("{path}: {error}")), path }
}

/// What lies in a folder of the project, sorted, with the folder before it.
///
/// # Panics
/// If there is no such folder.
pub fn inside(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("a readable folder").file_name();
        format!("{folder}/{}", name.to_str().expect("a name in UTF-8"))
    };
    let mut paths: Vec<String> = entries.map(name).collect();
    paths.sort();
    paths
}

impl Page {
    /// Its fenced blocks in order.
    ///
    /// # Panics
    /// If a fence is never closed.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut heading = String::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let indent = line.len() - line.trim_start().len();
            let Some(info) = line.trim_start().strip_prefix("```") else {
                if let Some((marks, title)) = line.split_once(' ')
                    && marks.starts_with('#')
                {
                    title.clone_into(&mut heading);
                }
                continue;
            };
            let place = format!("{}:{}", self.path, number + 1);
            let mut text = String::new();
            loop {
                let (_, line) = lines.next().unwrap_or_else(|| panic!("{place}: the fence is never closed"));
                if line.trim() == "```" {
                    break;
                }
                let blank = line.len() - line.trim_start().len();
                text.push_str(&line[indent.min(blank)..]);
                text.push('\n');
            }
            let language = info.split([',', ' ']).next().unwrap_or_default().to_owned();
            blocks.push(Block { place, heading: heading.clone(), language, text });
        }
        blocks
    }

    /// The cells of the first table under a heading, its head row left out.
    ///
    /// # Panics
    /// If there is no such heading, or no table under it.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let under = |line: &&str| line.trim_start_matches('#').trim() != heading || !line.starts_with('#');
        let section = self.text.lines().skip_while(under).skip(1);
        let rows =
            section.take_while(|line| !line.starts_with('#')).skip_while(|line| !line.starts_with('|'));
        let rows: Vec<Vec<String>> = rows
            .take_while(|line| line.starts_with('|'))
            .skip(2)
            .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
            .collect();
        assert!(!rows.is_empty(), "{}: no table under {heading:?}", self.path);
        rows
    }
}

/// The words of a text that stand between backticks.
pub fn code_words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
