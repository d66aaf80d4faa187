//! Files: the kernel's Landlock lets the program see what it needs to run, and nothing else.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::sandbox::Program;

/// The oldest that is enough: since version 3 files cannot be cut off either.
const NEEDED: ABI = ABI::V3;
/// The newest of which everything is asked for.
const WANTED: ABI = ABI::V6;

/// Libraries, and what the C library reads. None of them holds anything of a user.
const SYSTEM: [&str; 8] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/dev/urandom",
];

/// The loader of dynamic programs, by processor and C library.
const LOADERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Applies to this thread, and to all that comes of it.
///
/// The scratch folder may be written to if it is memory.
pub(crate) fn restrict(program: &Program, scratch_is_memory: bool) -> Result<(), String> {
    let status = ruleset(program, scratch_is_memory)
        .and_then(|rules| Ok(rules.restrict_self()?))
        .map_err(|error| format!("Landlock (Linux 6.2 or later, enabled) is needed: {error}"))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("Landlock (Linux 6.2 or later, enabled) is needed".to_owned()),
        // What is newer than the needed version is taken where it is there.
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn ruleset(program: &Program, scratch_is_memory: bool) -> Result<RulesetCreated, Box<dyn std::error::Error>> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?;
    for path in SYSTEM.iter().map(Path::new).chain(program.read.iter().map(|path| path.as_path())) {
        rules = allow(rules, path, read)?;
    }
    for path in LOADERS.iter().map(Path::new).chain(program.execute.iter().map(|path| path.as_path())) {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    rules = allow(rules, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    if scratch_is_memory {
        let write = AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::RemoveFile
            | AccessFs::RemoveDir;
        rules = allow(rules, &program.scratch, read | write)?;
    }
    Ok(rules)
}

/// A path that is not there needs no rule.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Box<dyn std::error::Error>> {
    let Ok(folder) = path.metadata() else { return Ok(rules) };
    // Of a file, a folder's rights make no sense.
    let access = if folder.is_dir() { access } else { access & AccessFs::from_file(WANTED) };
    Ok(rules.add_rule(PathBeneath::new(PathFd::new(path)?, access))?)
}
