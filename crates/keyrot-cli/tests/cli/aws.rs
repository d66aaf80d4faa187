//! The guide's lines for AWS against moto, then the command with nothing but the guide's variables and the vendor's own.

use std::time::{Duration, Instant};

use gemini_sim::SimServer;
use keyrot_test_servers::{Moto, free_port};

use crate::place::{EXAMPLE, Place, provider, serve};
use crate::stores;

/// The guide's own lines, with secrets that the provider knows.
const GUIDE: [&str; 2] = [
    "secretsmanager create-secret --name algoagent/flash_01 --secret-string secret-of-flash-01",
    "secretsmanager create-secret --name algoagent/flash_02 --secret-string secret-of-flash-02",
];

async fn follow_the_guide(server: &Moto) {
    for line in GUIDE {
        server.aws(line.split(' ')).await;
    }
}

fn place(provider: &SimServer) -> Place {
    Place::new().file("keys.json", EXAMPLE).at(provider)
}

/// The guide's block for `.env`, the credential and where the server is.
fn guides_block(url: &str) -> String {
    format!(
        "ENABLE_KEY_ROTATION=true\nSECRET_STORE_TYPE=aws\nAWS_REGION=us-east-1\nAWS_SECRET_PREFIX=algoagent/\n\
         AWS_ACCESS_KEY_ID=AKIATEST\nAWS_SECRET_ACCESS_KEY=secret-of-the-test\nAWS_ENDPOINT_URL={url}\n"
    )
}

fn checks_and_generates(place: &Place) {
    let check = place.run(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
    let shown = format!("{}{}", check.stdout, check.stderr);
    assert!(shown.contains("its secret is there: aws:algoagent/flash_01"), "{shown}");
    assert!(!shown.contains("secret-of-"), "{shown}");
    let generated =
        place.run(&["generate", "Buy when RSI < 30, sell when RSI > 70", "--no-verify", "--json"]);
    assert!(generated.json()["key_id"].as_str().unwrap().starts_with("flash_0"), "{generated:?}");
    let told = generated.stderr.lines().filter(|line| !line.starts_with("assumed: "));
    assert_eq!(told.count(), 1, "no warning beside the summary: {generated:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn aws_works_as_the_guide_says() {
    let (server, provider) = (Moto::start().await, serve(provider()).await);
    follow_the_guide(&server).await;
    checks_and_generates(&place(&provider).file(".env", &guides_block(server.url())));
    let process = place(&provider)
        .set("ENABLE_KEY_ROTATION", "true")
        .set("SECRET_STORE_TYPE", "aws")
        .set("AWS_ACCESS_KEY_ID", "AKIATEST")
        .set("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
        .set("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.url());
    checks_and_generates(&process);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn a_role_of_a_profile_reads_from_aws() {
    let (server, provider) = (Moto::start().await, serve(provider()).await);
    follow_the_guide(&server).await;
    let profiles = "[base]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret-of-the-test\n\
                    [llm]\nrole_arn = arn:aws:iam::123456789012:role/llm\nsource_profile = base\n";
    let place = place(&provider).file("profiles", profiles);
    let files = place.path("profiles").display().to_string();
    let env = format!(
        "ENABLE_KEY_ROTATION=true\nSECRET_STORE_TYPE=aws\nAWS_PROFILE=llm\nAWS_SHARED_CREDENTIALS_FILE={files}\n\
         AWS_ENDPOINT_URL={}\n",
        server.url()
    );
    checks_and_generates(&place.file(".env", &env));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn a_secret_that_aws_lacks_is_told_and_put() {
    let (server, provider) = (Moto::start().await, serve(provider()).await);
    server.aws(GUIDE[0].split(' ')).await;
    let place = place(&provider).file(".env", &guides_block(server.url()));
    let found = place.run(&["check"]);
    assert_eq!(found.code, 2, "{found:?}");
    let shown = format!("{}{}", found.stdout, found.stderr);
    for words in [
        "`keyrot secrets put flash_02`",
        "aws secretsmanager create-secret --name algoagent/flash_02",
        "aws secretsmanager get-secret-value --secret-id algoagent/flash_02",
        server.url(),
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let put = place.run_with(&["secrets", "put", "flash_02"], "secret-of-flash-02\n");
    assert_eq!(put.code, 0, "{put:?}");
    let look = "secretsmanager get-secret-value --secret-id algoagent/flash_02 --query SecretString";
    assert_eq!(server.aws(look.split(' ')).await, "\"secret-of-flash-02\"");
    checks_and_generates(&place);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn a_key_in_aws_is_rotated_and_put_back_if_it_is_refused_then() {
    let (server, provider) = (Moto::start().await, stores::with_a_new_key().await);
    follow_the_guide(&server).await;
    let place = place(&provider).file(".env", &guides_block(server.url()));
    let look =
        "secretsmanager get-secret-value --secret-id algoagent/flash_01 --query SecretString --output text";
    stores::rotates(&place, &provider, async || server.aws(look.split(' ')).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn no_command_shows_a_secret_or_what_it_logs_in_to_aws_with() {
    const SECRETS: [&str; 2] = ["AIzaSentinel-2e7c90f1b5", "AIzaSentinel-6b03d8-new"];
    const SIGNS: [&str; 2] = ["wJalrXUtnFEMI-K7MDENG-bPxRf", "IQoJb3JpZ2luX2VjEJ7-90210"];
    let (mut server, provider) = (Moto::start().await, serve(provider()).await);
    for id in ["flash_01", "flash_02"] {
        let name = format!("algoagent/{id}");
        server.aws(["secretsmanager", "create-secret", "--name", &name, "--secret-string", SECRETS[0]]).await;
    }
    let env = guides_block(server.url()).replace("secret-of-the-test", SIGNS[0]);
    let place = place(&provider)
        .file(".env", &format!("{env}AWS_SESSION_TOKEN={}\n", SIGNS[1]))
        .set("RUST_LOG", "trace")
        .set("RUST_BACKTRACE", "full");
    let unseen = [SECRETS, SIGNS].concat();
    stores::says_none_of(&place, SECRETS[1], &unseen);
    server.aws("secretsmanager delete-secret --secret-id algoagent/flash_01".split(' ')).await;
    stores::says_none_of(&place, SECRETS[1], &unseen);
    server.process().kill();
    stores::says_none_of(&place, SECRETS[1], &unseen);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn an_aws_that_hangs_or_is_gone_is_told_in_time() {
    let (mut server, provider) = (Moto::start().await, serve(provider()).await);
    server.process().freeze();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for url in [server.url(), nobody.as_str()] {
        let place = place(&provider).file(".env", &guides_block(url));
        let began = now();
        place.run(&["generate", "Buy on Mondays"]).fails(2, &["aws:algoagent/flash_01", url]);
        assert!(now() - began < Duration::from_secs(6), "{:?}", now() - began);
    }
}

#[expect(clippy::disallowed_methods, reason = "another process is timed")]
fn now() -> Instant {
    Instant::now()
}
