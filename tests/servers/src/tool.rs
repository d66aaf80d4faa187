//! Finds the programs that `cargo xtask test` brings.

use std::path::PathBuf;

/// The program `name` in the folder that `KEYROT_TEST_TOOLS` names: `python`, `bao`, `aws`, `redis-server`, ...
///
/// # Panics
/// If the variable is not set or the program is not there.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the test command says where it has put the programs")]
    let folder = std::env::var_os("KEYROT_TEST_TOOLS").unwrap_or_else(|| {
        panic!("KEYROT_TEST_TOOLS is not set; run `cargo xtask test`, which brings `{name}`")
    });
    let program = PathBuf::from(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing; run `cargo xtask test`, which brings it", program.display());
    program
}
