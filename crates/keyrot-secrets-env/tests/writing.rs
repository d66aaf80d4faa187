//! What a written secret does to the `.env` file, and when it cannot be written.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{KeyId, KeyMetadata, SecretError, SecretErrorKind, SecretStore, SecretWriter, Vars};
use keyrot_secrets_env::EnvStore;
use tempfile::TempDir;

const NEW: &str = "AIzaSentinel-new";

struct Bench {
    _folder: TempDir,
    path: PathBuf,
    store: EnvStore,
}

/// A folder with this file (none if it is empty), and variables of the process.
fn bench(text: &str, process: &[(&str, &str)]) -> Bench {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(".env");
    if !text.is_empty() {
        fs::write(&path, text).unwrap();
    }
    let store = EnvStore::with_dotenv(process.iter().copied().collect::<Vars>(), &path);
    Bench { _folder: folder, path, store }
}

fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "m")
}

impl Bench {
    async fn put(&self, id: &str) -> Result<(), SecretError> {
        self.store.put(&key(id), &SecretString::from(NEW)).await
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }
}

#[tokio::test]
async fn comments_order_and_other_lines_stay() {
    let bench =
        bench("# ours\nREDIS_URL=\n\nexport GEMINI_KEY_a='old' # of May\nGEMINI_KEY_b=2\n# end\n", &[]);
    bench.put("a").await.unwrap();
    let written =
        format!("# ours\nREDIS_URL=\n\nexport GEMINI_KEY_a={NEW} # of May\nGEMINI_KEY_b=2\n# end\n");
    assert_eq!(bench.text(), written);
    bench.put("c").await.unwrap();
    assert_eq!(bench.text(), format!("{written}GEMINI_KEY_c={NEW}\n"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_and_an_old_one_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench("", &[]);
    bench.put("a").await.unwrap();
    let mode = || fs::metadata(&bench.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&bench.path, fs::Permissions::from_mode(0o640)).unwrap();
    bench.put("b").await.unwrap();
    assert_eq!(mode(), 0o640);
}

#[tokio::test]
async fn white_space_around_is_not_written_and_nothing_is_no_secret() {
    let bench = bench("", &[]);
    bench.store.put(&key("a"), &SecretString::from(format!(" {NEW}\r\n"))).await.unwrap();
    assert_eq!(bench.text(), format!("GEMINI_KEY_a={NEW}\n"));
    let error = bench.store.put(&key("a"), &SecretString::from(" \n")).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Empty);
    assert_eq!(bench.text(), format!("GEMINI_KEY_a={NEW}\n"));
}

#[tokio::test]
async fn the_line_that_is_read_is_the_line_that_is_written() {
    for (before, after) in [
        ("GEMINI_KEY_a-b=x\nGEMINI_KEY_a_b=y\n", format!("GEMINI_KEY_a-b={NEW}\nGEMINI_KEY_a_b=y\n")),
        ("GEMINI_KEY_a_b=y\n", format!("GEMINI_KEY_a_b={NEW}\n")),
        ("GEMINI_KEY_a_b=y\nGEMINI_KEY_a_b=z\n", format!("GEMINI_KEY_a_b=y\nGEMINI_KEY_a_b={NEW}\n")),
        ("", format!("GEMINI_KEY_a_b={NEW}\n")),
    ] {
        let bench = bench(before, &[]);
        bench.put("a-b").await.unwrap();
        assert_eq!(bench.text(), after);
        assert_eq!(bench.store.fetch(&key("a-b")).await.unwrap().expose_secret(), NEW);
    }
}

#[tokio::test]
async fn a_variable_of_the_process_is_told_and_the_file_is_left_alone() {
    for name in ["GEMINI_KEY_a-b", "GEMINI_KEY_a_b"] {
        let bench = bench("GEMINI_KEY_a_b=sentinel\n", &[(name, "sentinel")]);
        let told = bench.store.unwritable(&key("a-b")).unwrap().to_string();
        let error = bench.put("a-b").await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (SecretErrorKind::Denied, told.clone()));
        assert!(told.contains(&format!("{name} is a variable of the process, which wins over ")), "{told}");
        assert!(!told.contains("sentinel"), "{told}");
        assert_eq!(bench.text(), "GEMINI_KEY_a_b=sentinel\n");
        assert!(bench.store.unwritable(&key("other")).is_none());
    }
}

#[tokio::test]
async fn without_a_file_and_with_a_bad_name_nothing_can_be_written() {
    let store = EnvStore::new(Vars::default());
    let error = store.put(&key("a"), &SecretString::from(NEW)).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Denied);
    assert!(error.to_string().contains("no .env file"), "{error}");
    let mut named = key("a");
    named.secret = Some("A=B".to_owned());
    assert_eq!(bench("", &[]).store.unwritable(&named).unwrap().kind(), SecretErrorKind::BadName);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_by_line_and_stays() {
    let bench = bench("A=1\nAIzaSecret\n", &[]);
    let error = bench.put("a").await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(".env: line 2: ") && text.contains("was not changed"), "{text}");
    assert!(!text.contains("AIza"), "{text}");
    assert_eq!(bench.text(), "A=1\nAIzaSecret\n");
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let bench = bench("# ours\n", &[]);
    let start = Arc::new(Barrier::new(16));
    std::thread::scope(|threads| {
        for number in 0..16 {
            let (store, start) = (bench.store.clone(), Arc::clone(&start));
            threads.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                start.wait();
                runtime.block_on(store.put(&key(&format!("k{number}")), &SecretString::from(NEW))).unwrap();
            });
        }
    });
    assert_eq!(bench.text().lines().filter(|line| line.ends_with(NEW)).count(), 16);
    assert!(bench.text().starts_with("# ours\n"));
}
