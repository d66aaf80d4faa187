//! The guide, step by step: its quick start, its migration, its rollback.

use crate::place::{EXAMPLE, Place, provider, serve};

/// The block of the guide's step 2, to be pasted into `.env` as it is.
pub(crate) const ENV_BLOCK: &str = "\
# Enable key rotation
ENABLE_KEY_ROTATION=true

# Choose secret storage (env, vault, aws, azure)
SECRET_STORE_TYPE=env

# Provide keys (format: GEMINI_KEY_{key_id})
GEMINI_KEY_flash_01=your-api-key-1
GEMINI_KEY_flash_02=your-api-key-2

# Optional: Redis for rate limiting
REDIS_URL=redis://localhost:6379/0
";

fn guides_provider() -> gemini_sim::Config {
    provider()
        .project(gemini_sim::Project::new("a").key("your_1", "your-api-key-1"))
        .project(gemini_sim::Project::new("b").key("your_2", "your-api-key-2"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_works_as_it_is_written() {
    let server = serve(guides_provider()).await;
    let place = Place::new().file("keys.json", EXAMPLE).file(".env", ENV_BLOCK).at(&server);
    let check = place.run(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
    let said = format!("{}{}", check.stdout, check.stderr);
    assert!(said.ends_with("no error, no warning\n"), "{said}");
    assert!(!said.contains("REDIS_URL"), "the test's own setting wins: {said}");
    let run = place.run(&["generate", "Buy when RSI < 30, sell when RSI > 70", "--json"]);
    assert!(run.json()["key_id"].as_str().unwrap().starts_with("flash_0"));
    assert!(!run.stderr.contains("REDIS_URL"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migration_and_rollback_change_variables_only() {
    let server = serve(guides_provider()).await;
    let generated_with = |place: &Place| {
        let json = place.run(&["generate", "Buy when RSI < 30", "--json"]).json();
        let key = json["key_id"].as_str().unwrap().to_owned();
        (key, server.attempts().last().unwrap().key_id.as_deref().unwrap().to_owned())
    };
    let single = ("default".to_owned(), "single".to_owned());

    // 1. The existing set-up works.
    let place = Place::new().at(&server).file(".env", "GEMINI_API_KEY=secret-of-single\n");
    assert_eq!(generated_with(&place), single);
    // 2. keys.json alone changes nothing.
    place.write("keys.json", EXAMPLE);
    assert_eq!(generated_with(&place), single);
    // 3. Nor do the keys' variables.
    let keys = "GEMINI_API_KEY=secret-of-single\nGEMINI_KEY_flash_01=your-api-key-1\nGEMINI_KEY_flash_02=your-api-key-2\n";
    place.write(".env", keys);
    assert_eq!(generated_with(&place), single);
    // 4. and 5. Rotation goes on, and the keys are used.
    place.write(".env", &format!("{keys}ENABLE_KEY_ROTATION=true\n"));
    let (key, sent) = generated_with(&place);
    assert!(key.starts_with("flash_0") && sent.starts_with("your_"), "{key} {sent}");

    // Rollback, while everything of rotation is broken.
    place.write("keys.json", "{ broken");
    place.write(
        ".env",
        &format!("{keys}ENABLE_KEY_ROTATION=false\nSECRET_STORE_TYPE=vault\nVAULT_ADDR=not a url\n"),
    );
    assert_eq!(generated_with(&place), single);
    place.write(".env", &format!("{keys}SECRET_STORE_TYPE=vault\n"));
    assert_eq!(generated_with(&place), single);
}
