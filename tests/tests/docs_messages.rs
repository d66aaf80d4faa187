//! Every text that the documentation quotes is provoked here, word for word: errors of the configuration by the library
//! and by the command, what the command tells beside its result by the command.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use keyrot::gemini::{Gemini, GenerateRequest, PooledGemini};
use keyrot::secrecy::SecretString;
use keyrot::{
    ConfigError, Environment, KeyId, KeyMetadata, KeyPool, KeyRequest, KeySet, Limits, ManualClock,
    MemoryStore, Opened, Settings, Vars,
};
use keyrot_e2e::docs::{page, root};
use keyrot_e2e::docs_shell::{command, text};
use tempfile::TempDir;

const MODEL: &str = "gemini-2.5-flash";
/// Quoted texts are in these pages; in others a `text` block is a drawing.
const PAGES: [&str; 4] =
    ["docs/failover.md", "docs/performance.md", "docs/security.md", "docs/troubleshooting.md"];

/// A folder with a keys.json and variables.
struct Configured {
    folder: TempDir,
    vars: Vec<(&'static str, String)>,
}

impl Configured {
    /// Rotation is on; keys.json is the example.
    fn new() -> Self {
        let vars = vec![("REDIS_URL", String::new())]; // no Redis but the test's own
        let configured = Self { folder: TempDir::new().unwrap(), vars };
        let keys = configured.path("keys.json");
        fs::copy(root().join("keys_example.json"), &keys).unwrap();
        configured.with("ENABLE_KEY_ROTATION", "true").with("KEYROT_KEYS_FILE", &keys)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        self.vars.push((name, value.as_ref().to_owned()));
        self
    }

    fn with_secrets(self) -> Self {
        self.with("GEMINI_KEY_flash_01", "your-api-key-1").with("GEMINI_KEY_flash_02", "your-api-key-2")
    }

    fn with_keys(self, text: &str) -> Self {
        fs::write(self.path("keys.json"), text).unwrap();
        self
    }

    async fn open(self) -> Result<Opened, ConfigError> {
        Settings::from_vars(&Vars::from_iter(self.vars))?.open().await
    }

    /// The error, with paths as somebody in this folder sees them. The command says the same.
    async fn error(self) -> String {
        let told = self.command(&["generate", "Buy on Mondays"]);
        let told = told.strip_prefix("error: ").unwrap().trim_end().to_owned();
        let said = match Settings::from_vars(&Vars::from_iter(self.vars.clone())) {
            Ok(settings) => settings.open().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert_eq!(self.seen(&said.unwrap_err().to_string()), told);
        told
    }

    /// The one line that the command tells with this first word, whatever else it prints.
    fn line(self, kind: &str, words: &[&str]) -> String {
        let told = self.command(words);
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with(kind)).collect();
        assert_eq!(lines.len(), 1, "{told}");
        lines[0].to_owned()
    }

    /// What the command prints, errors first.
    fn command(&self, words: &[&str]) -> String {
        let mut command = Command::new(command());
        let vars = self.vars.iter().map(|(name, value)| (name, value));
        let output = command
            .args(words)
            .current_dir(&self.folder)
            .env_clear()
            .env("REDIS_URL", "")
            .envs(vars)
            .output()
            .unwrap();
        self.seen(&(text(&output.stderr) + &text(&output.stdout)))
    }

    fn seen(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn pool(entries: impl IntoIterator<Item = (&'static str, Limits)>, clock: &ManualClock) -> KeyPool {
    let (mut keys, secrets) = (KeySet::default(), MemoryStore::default());
    for (id, limits) in entries {
        let id = KeyId::parse(id).unwrap();
        secrets.put(&id, SecretString::from("your-api-key-here"));
        keys.upsert(KeyMetadata::new(id, MODEL).with_limits(limits)).unwrap();
    }
    KeyPool::builder(keys).secrets(secrets).clock(clock.clone()).seed(1).build()
}

/// Two keys of one call a minute each have served, and 100 ms have passed.
async fn all_rest() -> String {
    let clock = ManualClock::default();
    let one = Limits::new(Some(1), None, None);
    let pool = pool([("flash_01", one), ("flash_02", one)], &clock);
    for project in ["flash_01", "flash_02"] {
        let request = KeyRequest::model(MODEL).pinned_to(project.into());
        pool.acquire(&request).await.unwrap().begin().unwrap().succeeded(Default::default()).await;
        clock.advance(Duration::from_millis(50));
    }
    pool.acquire(&KeyRequest::model(MODEL)).await.unwrap_err().to_string()
}

async fn none_will_ever_serve() -> String {
    let pool = pool([("flash_01", Limits::new(Some(0), None, None))], &ManualClock::default());
    pool.acquire(&KeyRequest::model(MODEL)).await.unwrap_err().to_string()
}

async fn no_entry_fits() -> String {
    let opened = Configured::new().with_secrets().open().await.unwrap();
    opened.pool.acquire(&KeyRequest::model("gemini-9")).await.unwrap_err().to_string()
}

/// The last error of a key that the provider does not know.
async fn rejected() -> String {
    let config = gemini_sim::Config::default().project(gemini_sim::Project::new("p").key("k", "another-key"));
    let server = gemini_sim::SimServer::start(config).await.unwrap();
    let keys = pool([("flash_01", Limits::default())], &ManualClock::default());
    let client = Gemini::builder().base_url(server.base_url()).build().unwrap();
    let gemini = PooledGemini::new(keys, client);
    gemini.generate(&KeyRequest::model(MODEL), &GenerateRequest::user("Hello")).await.unwrap_err();
    let health = gemini.pool().health();
    server.stop().await;
    health["flash_01"].last_error.clone().unwrap()
}

fn bad_env_line() -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, "A=1\nAIzaSomethingSecret\n").unwrap();
    let error = Environment::new(Vars::default(), Some(&path)).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

const TWO_IDS: &str = r#"{"keys": [
    {"key_id": "flash-01", "model_name": "m"},
    {"key_id": "flash_01", "model_name": "m"}]}"#;

const TWO_MISTAKES: &str = r#"{"keys": [
    {"key_id": "flash_01", "model_name": "m", "rpm": "many"},
    {"key_id": "flash_02"}]}"#;

const A_KEY_IN_THE_FILE: &str =
    r#"{"keys": [{"key_id": "flash_01", "model_name": "m", "secret": "AIzaSomethingSecret"}]}"#;

/// Everything that is provoked.
async fn said() -> Vec<String> {
    let example = fs::read_to_string(root().join("keys_example.json")).unwrap();
    let all_inactive = example.replace("\"active\": true", "\"active\": false");
    let one_project =
        example.replace("\"key_id\": \"flash_0", "\"project\": \"mine\", \"key_id\": \"flash_0");
    let missing = || {
        let configured = Configured::new();
        fs::remove_file(Path::new(&configured.path("keys.json"))).unwrap();
        configured
    };
    let nothing = Configured { folder: TempDir::new().unwrap(), vars: Vec::new() };
    let bad_values = Configured { folder: TempDir::new().unwrap(), vars: Vec::new() }
        .with("KEYROT_KEY_FILE", "x")
        .with("ENABLE_KEY_ROTATION", "maybe")
        .with("KEYROT_COOLDOWN_BASE", "soon");
    let first_only = || Configured::new().with("GEMINI_KEY_flash_01", "your-api-key-1");
    vec![
        nothing.error().await,
        missing().error().await,
        Configured::new().error().await,
        Configured::new().with_keys(&all_inactive).error().await,
        Configured::new().with_secrets().with_keys(TWO_IDS).error().await,
        Configured::new().with_secrets().with_keys(TWO_MISTAKES).error().await,
        Configured::new().with_secrets().with_keys(A_KEY_IN_THE_FILE).error().await,
        bad_values.error().await,
        bad_env_line(),
        Configured::new()
            .with_secrets()
            .with("REDIS_URL", "redis://127.0.0.1:1")
            .line("warning:", &["explain"]),
        first_only().line("warning:", &["explain"]),
        first_only().with("GEMINI_KEY_flash_02", "").line("warning:", &["explain"]),
        first_only().with("GEMINI_KEY_flash_02", "your-api-key-1").line("✗ flash", &["check"]),
        Configured::new()
            .with_secrets()
            .with_keys(&one_project)
            .line("i flash_01, flash_02 share", &["check"]),
        Configured::new().with_secrets().line("error:", &["secrets", "put", "flash_01"]),
        no_entry_fits().await,
        all_rest().await,
        none_will_ever_serve().await,
        rejected().await,
    ]
}

#[tokio::test]
async fn every_quoted_text_is_what_the_code_says() {
    let said = said().await;
    let mut quoted = Vec::new();
    for block in PAGES.iter().flat_map(|path| page(*path).blocks()).filter(|block| block.language == "text") {
        let text = block.text.trim_end().to_owned();
        assert!(said.contains(&text), "{}: nobody says\n{text}\nbut:\n{}", block.place, said.join("\n"));
        quoted.push(text);
    }
    for text in said {
        assert!(quoted.contains(&text), "no page quotes what was provoked:\n{text}");
    }
}
