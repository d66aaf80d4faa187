//! The guide's lines for Vault against a real server, then the command with nothing but the guide's variables and the
//! vendor's own.

use std::time::{Duration, Instant};

use gemini_sim::SimServer;
use keyrot_test_servers::{Certificates, OpenBao, free_port};

use crate::place::{EXAMPLE, Place, provider, serve};
use crate::stores;

/// The guide's own lines, with secrets that the provider knows.
const GUIDE: [&str; 2] = [
    "kv put secret/algoagent/flash_01 value=secret-of-flash-01",
    "kv put secret/algoagent/flash_02 value=secret-of-flash-02",
];

async fn follow_the_guide(server: &OpenBao) {
    for line in GUIDE {
        server.bao(line.split(' ')).await;
    }
}

fn place(provider: &SimServer) -> Place {
    Place::new().file("keys.json", EXAMPLE).at(provider)
}

/// The guide's block for `.env`.
fn guides_block(server: &OpenBao) -> String {
    format!(
        "ENABLE_KEY_ROTATION=true\nSECRET_STORE_TYPE=vault\nVAULT_ADDR={}\nVAULT_TOKEN={}\nVAULT_SECRET_PATH=secret/algoagent\n",
        server.address(),
        server.token()
    )
}

fn checks_and_generates(place: &Place) {
    let check = place.run(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
    let shown = format!("{}{}", check.stdout, check.stderr);
    assert!(shown.contains("its secret is there: vault:secret/algoagent/flash_01"), "{shown}");
    assert!(!shown.contains("secret-of-flash"), "{shown}");
    let generated =
        place.run(&["generate", "Buy when RSI < 30, sell when RSI > 70", "--no-verify", "--json"]);
    assert!(generated.json()["key_id"].as_str().unwrap().starts_with("flash_0"), "{generated:?}");
    let told = generated.stderr.lines().filter(|line| !line.starts_with("assumed: "));
    assert_eq!(told.count(), 1, "no warning beside the summary: {generated:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn vault_works_as_the_guide_says() {
    let (server, provider) = (OpenBao::dev().await, serve(provider()).await);
    follow_the_guide(&server).await;
    checks_and_generates(&place(&provider).file(".env", &guides_block(&server)));
    let process = place(&provider)
        .set("ENABLE_KEY_ROTATION", "true")
        .set("SECRET_STORE_TYPE", "vault")
        .set("VAULT_ADDR", server.address())
        .set("VAULT_TOKEN", server.token());
    checks_and_generates(&process);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn vault_over_tls_lets_a_role_in_and_whoever_has_logged_in() {
    let certificates = Certificates::make();
    let (server, provider) = (OpenBao::on_disk(Some(&certificates)).await, serve(provider()).await);
    follow_the_guide(&server).await;
    let rules = "path \"secret/data/algoagent/*\" {\n  capabilities = [\"read\"]\n}";
    server.policy("keyrot", rules).await;
    let role = server.app_role("keyrot", "1h", "24h").await;
    let base = || {
        place(&provider)
            .set("ENABLE_KEY_ROTATION", "true")
            .set("SECRET_STORE_TYPE", "vault")
            .set("VAULT_ADDR", server.address())
            .set("VAULT_CACERT", certificates.ca().to_str().unwrap())
    };
    checks_and_generates(&base().set("VAULT_ROLE_ID", &role.role_id).set("VAULT_SECRET_ID", &role.secret_id));
    let at_home = base().file(".vault-token", server.token());
    let home = at_home.folder().to_str().unwrap().to_owned();
    checks_and_generates(&at_home.set("HOME", &home));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_secret_that_vault_lacks_is_told_and_put() {
    let (server, provider) = (OpenBao::dev().await, serve(provider()).await);
    server.bao(GUIDE[0].split(' ')).await;
    let place = place(&provider).file(".env", &guides_block(&server));
    let found = place.run(&["check"]);
    assert_eq!(found.code, 2, "{found:?}");
    let shown = format!("{}{}", found.stdout, found.stderr);
    for words in ["keyrot secrets put flash_02", "vault kv get secret/algoagent/flash_02", server.address()] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let one = place.run(&["generate", "Buy on Mondays", "--no-verify"]);
    assert_eq!(one.code, 0, "the other key serves: {one:?}");
    assert!(one.stderr.contains("warning: key flash_02 is not used, it has no secret: vault:"), "{one:?}");
    let put = place.run_with(&["secrets", "put", "flash_02"], "secret-of-flash-02\n");
    assert_eq!(put.code, 0, "{put:?}");
    assert_eq!(
        server.bao(["kv", "get", "-field=value", "secret/algoagent/flash_02"]).await,
        "secret-of-flash-02"
    );
    checks_and_generates(&place);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_key_in_vault_is_rotated_and_put_back_if_it_is_refused_then() {
    let (server, provider) = (OpenBao::dev().await, stores::with_a_new_key().await);
    follow_the_guide(&server).await;
    let place = place(&provider).file(".env", &guides_block(&server));
    let stored = async || server.bao(["kv", "get", "-field=value", "secret/algoagent/flash_01"]).await;
    stores::rotates(&place, &provider, stored).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn vault_of_kv_version_1_does_not_tell_the_age_of_secrets() {
    let (server, provider) = (OpenBao::dev().await, serve(provider()).await);
    server.enable_kv("old", 1).await;
    for line in GUIDE {
        server.bao(line.replace("secret/", "old/").split(' ')).await;
    }
    let env = guides_block(&server).replace("secret/algoagent", "old/algoagent");
    let check = place(&provider).file(".env", &env).run(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
    let told = "the store vault does not tell how old they are: replace each every 90 days";
    assert!(check.stdout.contains(told), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn no_command_shows_a_secret_or_what_it_logs_in_to_vault_with() {
    const SECRETS: [&str; 2] = ["AIzaSentinel-b81f40c7e2", "AIzaSentinel-94d6a3-new"];
    let (mut server, provider) = (OpenBao::dev().await, serve(provider()).await);
    for id in ["flash_01", "flash_02"] {
        let (path, value) = (format!("secret/algoagent/{id}"), format!("value={}", SECRETS[0]));
        server.bao(["kv", "put", &path, &value]).await;
    }
    let rules = "path \"secret/data/algoagent/*\" {\n  capabilities = [\"create\", \"read\", \"update\"]\n}";
    server.policy("keyrot", rules).await;
    let role = server.app_role("keyrot", "1h", "24h").await;
    let env = format!(
        "ENABLE_KEY_ROTATION=true\nSECRET_STORE_TYPE=vault\nVAULT_ADDR={}\nVAULT_ROLE_ID={}\nVAULT_SECRET_ID={}\n",
        server.address(),
        role.role_id,
        role.secret_id
    );
    let place = place(&provider).file(".env", &env).set("RUST_LOG", "trace").set("RUST_BACKTRACE", "full");
    let unseen = [SECRETS[0], SECRETS[1], &role.role_id, &role.secret_id];
    stores::says_none_of(&place, SECRETS[1], &unseen);
    server.policy("keyrot", &rules.replace("\"create\", \"read\", \"update\"", "\"deny\"")).await;
    stores::says_none_of(&place, SECRETS[1], &unseen);
    server.bao(["delete", "auth/approle/role/keyrot"]).await;
    stores::says_none_of(&place, SECRETS[1], &unseen);
    server.process().kill();
    stores::says_none_of(&place, SECRETS[1], &unseen);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_vault_that_hangs_or_is_gone_is_told_in_time() {
    let (mut server, provider) = (OpenBao::dev().await, serve(provider()).await);
    let env = guides_block(&server);
    server.process().freeze();
    let hasty = place(&provider).file(".env", &env).set("KEYROT_SECRET_TIMEOUT", "500ms");
    let put = hasty.run_with(&["secrets", "put", "flash_01"], "secret-of-flash-01");
    put.fails(1, &["whether the secret was written is not known", "vault:secret/algoagent/flash_01"]);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let gone = env.replace(server.address(), &nobody);
    for (env, address) in [(&env, server.address()), (&gone, nobody.as_str())] {
        let place = place(&provider).file(".env", env);
        let began = now();
        place.run(&["generate", "Buy on Mondays"]).fails(2, &["vault:secret/algoagent/flash_01", address]);
        assert!(now() - began < Duration::from_secs(6), "{:?}", now() - began);
    }
}

#[expect(clippy::disallowed_methods, reason = "another process is timed")]
fn now() -> Instant {
    Instant::now()
}
