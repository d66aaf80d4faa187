//! What the system instruction says about backtesting.py is true of the pinned version.

use std::process::Command;

#[test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
fn every_claim_and_example_of_the_instruction_holds() {
    #[expect(clippy::disallowed_methods, reason = "the test command says where its Python is")]
    let python = std::env::var_os("KEYROT_TEST_PYTHON").expect("KEYROT_TEST_PYTHON names the interpreter");
    let folder = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(python)
        .arg(format!("{folder}/tests/prompt_claims.py"))
        .arg(format!("{folder}/src/system_instruction.md"))
        .output()
        .expect("the interpreter can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("example RsiTrendStrategy") && told.contains("example MacdAtrStrategy"), "{told}");
}
