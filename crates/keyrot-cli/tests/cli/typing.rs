//! The hidden prompt of `keyrot secrets`, on a terminal of its own.
#![cfg(unix)]

use std::process::Command;

use keyrot_test_servers::tool;

use crate::place::{EXAMPLE, Place};

/// Runs the command on a new terminal, types once it asks, and prints what the screen shows and the exit code.
const TERMINAL: &str = r#"
import os, pty, sys, termios
program, keys = sys.argv[1], sys.argv[2].encode()
child, screen = pty.fork()
if child == 0:
    os.execve(program, ["keyrot", "secrets", "put", "flash_01"], {})
shown = b""
while b"shown" not in shown:
    shown += os.read(screen, 1000)
while termios.tcgetattr(screen)[3] & termios.ECHO:  # until what is typed is hidden
    pass
os.write(screen, keys)
try:
    while data := os.read(screen, 1000):
        shown += data
except OSError:
    pass  # the terminal ends with the command
print(shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// What the screen shows when this is typed, the exit code last.
fn typed(place: &Place, keys: &str) -> String {
    let mut command = Command::new(tool("python"));
    command
        .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_keyrot"), keys])
        .current_dir(place.folder())
        .env_clear();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs Python: cargo xtask test"]
fn what_is_typed_is_written_and_not_shown() {
    let place = Place::new().file("keys.json", EXAMPLE);
    let screen = typed(&place, "sentinel-typed\n");
    assert!(screen.contains("API key of flash_01 (not shown): "), "{screen}");
    assert!(
        screen.ends_with("the secret of flash_01 was written: env:GEMINI_KEY_flash_01\r\n 0\n"),
        "{screen}"
    );
    assert!(!screen.contains("sentinel"), "{screen}");
    assert_eq!(place.read(".env"), "GEMINI_KEY_flash_01=sentinel-typed\n");
}

#[test]
#[ignore = "needs Python: cargo xtask test"]
fn ctrl_c_and_nothing_change_nothing() {
    let place = Place::new().file("keys.json", EXAMPLE);
    let screen = typed(&place, "sentinel\u{3}");
    assert!(screen.ends_with("error: stopped: nothing was changed\r\n 130\n"), "{screen}");
    let screen = typed(&place, "\n");
    assert!(screen.contains("the API key is empty; type it when you are asked"), "{screen}");
    assert!(screen.ends_with(" 2\n") && !screen.contains("sentinel"), "{screen}");
    assert!(!place.path(".env").exists());
}
