//! The launcher of the sandbox as a program of its own, for programs that cannot be their own launcher.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(code) = strategy_gen::launch_if_asked(std::env::args_os()) {
        return code;
    }
    ExitCode::from(2)
}
