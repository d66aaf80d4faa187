//! System calls that are refused by what they are asked for: few operations of `prctl`, `fcntl` and `ioctl` are needed.
//!
//! What is not listed would let a program outlive its parent (`PR_SET_PDEATHSIG`), be read by others
//! (`PR_SET_DUMPABLE`), or have the kernel send a signal of its choice to a process of its choice (`F_SETOWN`,
//! `F_SETSIG`, `FIOSETOWN`).

use std::collections::BTreeMap;

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// Not in the library of C declarations for every system.
const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_SVE_GET_VL: u64 = 51;
const TCGETS2: u64 = 0x802c_542a;

/// Names of threads (Python) and of memory (the C library), processor facts (BLAS), more filters.
const PRCTL: &[u64] = &[
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    PR_SET_VMA,
    libc::PR_GET_THP_DISABLE as u64,
    PR_SVE_GET_VL,
    libc::PR_SET_SECCOMP as u64,
    libc::PR_SET_NO_NEW_PRIVS as u64,
];

/// Descriptors, their flags, locks on files, and the size of a pipe.
const FCNTL: &[u64] = &[
    libc::F_DUPFD as u64,
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
    libc::F_GETLK as u64,
    libc::F_SETLK as u64,
    libc::F_SETLKW as u64,
    libc::F_OFD_GETLK as u64,
    libc::F_OFD_SETLK as u64,
    libc::F_OFD_SETLKW as u64,
    libc::F_GETPIPE_SZ as u64,
];

/// Is it a terminal, how large is it, how much is there to read, and the flags of a descriptor.
const IOCTL: &[u64] =
    &[libc::TCGETS, TCGETS2, libc::TIOCGWINSZ, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX];

/// Calls, each with the rule that holds if it asks for none of what is listed.
pub(crate) fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let calls = [(libc::SYS_prctl, 0, PRCTL), (libc::SYS_fcntl, 1, FCNTL), (libc::SYS_ioctl, 1, IOCTL)];
    calls.into_iter().map(|(call, argument, known)| Ok((call, vec![none_of(argument, known)?]))).collect()
}

/// The kernel looks at 32 bits of each of these arguments.
fn none_of(argument: u8, known: &[u64]) -> Result<SeccompRule, BackendError> {
    let other =
        |value: &u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *value);
    SeccompRule::new(known.iter().map(other).collect::<Result<_, _>>()?)
}
