//! What the system instruction says about backtesting.py is true of the pinned version.

use std::process::Command;

use keyrot_test_servers::tool;

#[test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
fn every_claim_and_example_of_the_instruction_holds() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(tool("python"))
        .arg(format!("{folder}/tests/prompt_claims.py"))
        .arg(format!("{folder}/src/system_instruction.md"))
        .output()
        .expect("the interpreter can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        told.contains("example RsiTrendStrategy")
            && told.contains("example MacdAtrStrategy")
            && told.contains("example BreakoutRiskStrategy"),
        "{told}"
    );
}
