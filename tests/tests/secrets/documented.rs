//! What docs/backends.md says to set up is enough, and no more: its own lines, run by the vendors' own commands.

use std::os::unix::fs::symlink;

use gemini_sim::SimServer;
use keyrot_e2e::docs::page;
use keyrot_e2e::docs_shell::{Shell, simulator, text};
use keyrot_test_servers::moto::CREDENTIALS;
use keyrot_test_servers::{Moto, OpenBao, tool};
use serde_json::{Value, json};

/// The blocks of this language under a heading of the page.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let blocks = page("docs/backends.md").blocks().into_iter();
    blocks
        .filter(|block| block.heading == heading && block.language == language)
        .map(|block| block.text)
        .collect()
}

/// A folder with keys.json, and the vendor's command beside `keyrot`.
fn shell(provider: &SimServer, program: &str, known_as: &str) -> Shell {
    let shell = Shell::set_up(provider.base_url().to_string());
    symlink(tool(program), shell.path("bin").join(known_as)).unwrap();
    shell
}

fn succeeds(shell: &Shell, script: &str) -> String {
    let output = shell.bash(script);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

const USE: &str = "keyrot check && keyrot generate 'Buy when RSI < 30, sell when RSI > 70' --no-verify";
const WRITE: &str = "echo your-new-api-key | keyrot secrets put flash_01";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn vault_is_set_up_by_the_lines_of_its_page() {
    const READ: &str = "[\"read\"]";
    const READ_AND_WRITE: &str = "[\"create\", \"read\", \"update\"]";
    let (server, provider) = (OpenBao::dev().await, simulator().await);
    let shell = shell(&provider, "bao", "vault");
    let here = |block: &String| block.replace("https://vault.example.com", server.address());
    let pages: Vec<String> = blocks("Set up Vault", "console").iter().map(here).collect();
    let [secrets, policy, role, env] = pages.as_slice() else { panic!("other blocks: {pages:?}") };
    let root = format!("export VAULT_ADDR={} VAULT_TOKEN={}\n", server.address(), server.token());
    let role: Vec<&str> = role.lines().collect();
    let [enable, create, role_id, secret_id] = role.as_slice() else { panic!("other lines: {role:?}") };
    shell.write(".env", env);
    let login = format!(
        "{enable}\n{create}\necho VAULT_ROLE_ID=$({role_id}) >> .env\necho VAULT_SECRET_ID=$({secret_id}) >> .env\n"
    );
    succeeds(&shell, &format!("{root}{secrets}{policy}{login}"));
    succeeds(&shell, USE);

    let refused = shell.bash(WRITE);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let line = format!("capabilities = {READ_AND_WRITE}");
    assert!(text(&refused.stderr).contains(&line), "{refused:?}");
    assert!(page("docs/backends.md").text.contains(&format!("the capabilities are `{READ_AND_WRITE}`")));
    succeeds(&shell, &format!("{root}{}", policy.replace(READ, READ_AND_WRITE)));
    succeeds(&shell, WRITE);
    let look = ["kv", "get", "-field=value", "secret/algoagent/flash_01"];
    assert_eq!(server.bao(look).await, "your-new-api-key");
}

/// A user with this policy and the two lines that log in as him.
async fn user(moto: &Moto, name: &str, policy: &Value) -> String {
    let policy = policy.to_string();
    moto.aws(["iam", "create-user", "--user-name", name]).await;
    let put = [
        "iam",
        "put-user-policy",
        "--policy-name",
        "keyrot",
        "--user-name",
        name,
        "--policy-document",
        &policy,
    ];
    moto.aws(put).await;
    let created = moto.aws(["iam", "create-access-key", "--user-name", name, "--output", "json"]).await;
    let created: Value = serde_json::from_str(&created).unwrap();
    let field = |field: &str| created["AccessKey"][field].as_str().unwrap().to_owned();
    let (id, secret) = (field("AccessKeyId"), field("SecretAccessKey"));
    format!("AWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}\n")
}

/// moto looks at the actions of a policy only: of resources it knows no other than `*`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn aws_is_set_up_by_the_lines_of_its_page() {
    const TO_WRITE: [&str; 2] = ["secretsmanager:PutSecretValue", "secretsmanager:CreateSecret"];
    let (moto, provider) = (Moto::start().await, simulator().await);
    let shell = shell(&provider, "aws", "aws");
    let console = blocks("Set up AWS", "console");
    let [secrets, env] = console.as_slice() else { panic!("other blocks: {console:?}") };
    let endpoint = format!("AWS_ENDPOINT_URL={}\n", moto.url());
    let admin: String = CREDENTIALS.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    succeeds(&shell, &format!("{admin}export AWS_DEFAULT_REGION=us-east-1 {endpoint}{secrets}"));

    let mut policy: Value = serde_json::from_str(&blocks("Set up AWS", "json")[0]).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    statements.iter_mut().for_each(|statement| statement["Resource"] = json!("*"));
    let reader = user(&moto, "reader", &policy).await;
    policy["Statement"][0]["Action"] = json!([policy["Statement"][0]["Action"], TO_WRITE[0], TO_WRITE[1]]);
    let writer = user(&moto, "writer", &policy).await;
    moto.check_permissions().await;

    shell.write(".env", &format!("{env}{endpoint}{reader}"));
    succeeds(&shell, USE);
    let before = moto.requests();
    let refused = shell.bash(WRITE);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(moto.requests() > before, "it was tried");
    shell.write(".env", &format!("{env}{endpoint}{writer}"));
    succeeds(&shell, WRITE);
    let text = page("docs/backends.md").text;
    assert!(TO_WRITE.iter().all(|action| text.contains(&format!("`{action}`"))));
}
