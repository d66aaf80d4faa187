//! The last filter: from then on the process executes no other program.
//!
//! The launcher cannot put it on, for it becomes the interpreter by that very call. So the trusted part that runs in the
//! interpreter does, before it reads any code of a strategy.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The filter as the kernel takes it, in hexadecimal.
pub(crate) fn hexadecimal() -> Result<String, String> {
    let program = filter().map_err(|error| format!("seccomp filters are needed: {error}"))?;
    let bytes = program.iter().flat_map(|one| {
        let [code, value] = [one.code.to_ne_bytes().to_vec(), one.k.to_ne_bytes().to_vec()];
        [code, vec![one.jt, one.jf], value].concat()
    });
    Ok(bytes.map(|byte| format!("{byte:02x}")).collect())
}

fn filter() -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let calls = [libc::SYS_execve, libc::SYS_execveat].map(|call| (call, Vec::new()));
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(calls.into(), SeccompAction::Allow, refused, arch)?.try_into()?)
}
