//! A secret is driven through every command and every way to fail, and searched for in all that is said.

use gemini_sim::{Config, Fault, FaultKind, Project};
use keyrot_testkit::leak::assert_absent;

use crate::place::{EXAMPLE, Place, serve};

const ONE: &str = "sentinel-one-5b1e8d40c7";
const TWO: &str = "sentinel-two-93af60d2b8";

#[tokio::test(flavor = "multi_thread")]
async fn no_command_says_any_part_of_a_secret() {
    let server = serve(
        Config::default()
            .latency(gemini_sim::Latency::ZERO)
            .project(Project::new("one").key("flash_01", ONE))
            .project(Project::new("two").key("flash_02", TWO)),
    )
    .await;
    let place = Place::new()
        .file("keys.json", EXAMPLE)
        .file(".env", &format!("GEMINI_KEY_flash_02={TWO}\nGEMINI_API_KEY={ONE}\n"))
        .set("ENABLE_KEY_ROTATION", "true")
        .set("GEMINI_KEY_flash_01", ONE)
        .set("RUST_LOG", "trace")
        .at(&server);
    let commands: [&[&str]; 9] = [
        &["generate", "RSI", "--json"],
        &["generate", "RSI", "--rotation", "off"],
        &["status", "--json"],
        &["status"],
        &["explain", "--json"],
        &["check", "--probe", "--json"],
        &["check", "--probe"],
        &["keys", "list", "--json"],
        &["generate", "RSI", "--model", "no-such-model"],
    ];
    let faults = [
        None,
        Some(FaultKind::KeyInvalid),
        Some(FaultKind::KeyLeaked),
        Some(FaultKind::KeySuspended), // prints the whole key, twice
        Some(FaultKind::QuotaDay),
        Some(FaultKind::Verbatim {
            status: 400,
            body: format!("your key {ONE} and {TWO} {{"),
            content_type: None,
        }),
        Some(FaultKind::CutMidStream),
    ];
    for fault in faults {
        server.clear_faults();
        if let Some(kind) = fault.clone() {
            server.add_fault(Fault::new(kind)).unwrap();
        }
        for command in commands {
            let run = place.run(command);
            assert!(!run.stderr.contains("panicked"), "{fault:?} {command:?}: {run:?}");
            assert_absent(&run.stdout, &[ONE, TWO]);
            assert_absent(&run.stderr, &[ONE, TWO]);
        }
        for command in
            [&["secrets", "put", "flash_02"][..], &["secrets", "rotate", "flash_02", "--patience", "1ms"]]
        {
            // the same file before each: what is rotated in is another key than the one that is there
            place.write(".env", &format!("GEMINI_KEY_flash_02={ONE}\nGEMINI_API_KEY={ONE}\n"));
            let run = place.run_with(command, TWO);
            assert!(!run.stderr.contains("panicked"), "{fault:?} {command:?}: {run:?}");
            assert_absent(&run.stdout, &[ONE, TWO]);
            assert_absent(&run.stderr, &[ONE, TWO]);
        }
        place.write(".env", &format!("GEMINI_KEY_flash_02={TWO}\nGEMINI_API_KEY={ONE}\n"));
    }
}
