//! Each example runs against the simulator, in a folder as the guide leaves it.
#![cfg(all(feature = "secrets-env", feature = "strategy-gen"))]
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use gemini_sim::{Config, Fault, FaultKind, Latency, Project, SimServer};
use tempfile::TempDir;

const KEYS: &str = include_str!("../../../keys_example.json");
const ENV: &str = "\
ENABLE_KEY_ROTATION=true
SECRET_STORE_TYPE=env
GEMINI_KEY_flash_01=secret-of-flash-01
GEMINI_KEY_flash_02=secret-of-flash-02
";

struct Place {
    folder: TempDir,
    server: SimServer,
}

async fn place(faults: impl IntoIterator<Item = Fault>) -> Place {
    let config = Config::default()
        .latency(Latency::ZERO)
        .project(Project::new("one").key("flash_01", "secret-of-flash-01"))
        .project(Project::new("two").key("flash_02", "secret-of-flash-02"));
    let server = SimServer::start(faults.into_iter().fold(config, Config::fault)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.json"), KEYS).unwrap();
    fs::write(folder.path().join(".env"), ENV).unwrap();
    Place { folder, server }
}

/// Built beside this test, as every run of the tests of this package does.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let path = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} was not built: cargo build -p keyrot --all-features --examples",
        path.display()
    );
    path
}

impl Place {
    /// What the example prints.
    fn run(&self, name: &str) -> String {
        let mut command = Command::new(example(name));
        command
            .env_clear()
            .env("REDIS_URL", "")
            .current_dir(self.folder.path())
            .env("GOOGLE_GEMINI_BASE_URL", self.server.base_url());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{name}: {complained}{said}");
        assert!(
            !said.contains("secret-of") && !complained.contains("secret-of"),
            "{name}: {complained}{said}"
        );
        said
    }

    fn callers(&self) -> Vec<String> {
        self.server
            .attempts()
            .iter()
            .map(|call| call.key_id.as_deref().unwrap_or("none").to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_prints_a_strategy() {
    let place = place([]).await;
    let said = place.run("quickstart");
    assert!(said.contains("by gemini-2.5-flash with key flash_0"), "{said}");
    assert!(said.contains("class RsiStrategy(Strategy):"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_goes_on_with_the_key_that_works() {
    let place = place([Fault::new(FaultKind::KeyInvalid).key("flash_01")]).await;
    for _ in 0..10 {
        let said = place.run("failover");
        assert!(said.contains("flash_02: success"), "{said}");
    }
    let callers = place.callers();
    assert!(callers.iter().any(|caller| caller == "flash_01"), "the bad key was never drawn: {callers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_why_a_generation_failed_and_how_the_keys_are() {
    let place = place([Fault::new(FaultKind::KeyInvalid)]).await;
    let env = ENV.replace("ENABLE_KEY_ROTATION=true", "ENABLE_KEY_ROTATION=false");
    fs::write(place.folder.path().join(".env"), env).unwrap(); // the program asks for rotation itself
    let said = place.run("errors");
    assert!(said.contains("Generation failed: ") && said.contains("Key Status:\n"), "{said}");
    for key in ["flash_01", "flash_02"] {
        assert!(said.contains(&format!("{key}: 400 INVALID_ARGUMENT: API key not valid.")), "{said}");
    }
    assert!(said.contains("pro_01: no error"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_store_reads_its_folder_and_says_what_is_missing() {
    let place = place([]).await;
    fs::create_dir(place.folder.path().join("secrets")).unwrap();
    fs::write(place.folder.path().join("secrets/flash_02"), "secret-of-flash-02\n").unwrap();
    let said = place.run("custom_store");
    assert!(said.contains("flash_01 is not used: file:secrets"), "{said}");
    assert!(said.contains("flash_02: "), "{said}");
    assert_eq!(place.callers(), ["flash_02"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reqwest_lease_reports_what_became_of_its_call() {
    let place = place([Fault::new(FaultKind::QuotaDay).times(1)]).await;
    let refused = place.run("reqwest_lease");
    assert!(refused.contains("until_pacific_midnight: 429"), "{refused}");
    assert!(place.run("reqwest_lease").contains("success: "));
    assert!(place.server.attempts().iter().all(|call| !call.key_in_url));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_shows_the_guides_six_fields_of_each_key() {
    let said = place([]).await.run("health");
    for field in ["Model", "Active", "Last Used", "Success Count", "Error Count", "In Cooldown"] {
        assert_eq!(said.matches(&format!("  {field}: ")).count(), 3, "{field}: {said}");
    }
    assert!(
        said.contains("flash_01:\n  Model: gemini-2.5-flash\n  Active: true\n  Last Used: never"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn select_takes_a_key_by_hand() {
    let place = place([]).await;
    let said = place.run("select");
    assert!(said.contains(r#"Healthy keys: ["flash_01", "flash_02"]"#), "{said}");
    assert!(said.contains(&format!("Selected key: {}", place.callers()[0])), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upsert_save_adds_a_key_to_the_file() {
    let place = place([]).await;
    assert!(place.run("upsert_save").contains("4 keys in keys.json"));
    let keys = keyrot::KeySet::load(&place.folder.path().join("keys.json")).unwrap();
    let added = keys.get("flash_03").unwrap();
    assert_eq!((added.limits.rpm, added.tags["region"].as_str()), (Some(60), "eu-west"));
}
