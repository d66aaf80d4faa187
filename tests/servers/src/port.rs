//! Ports that no other test takes.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below the ports that the system hands out for outgoing connections, and with room above for the bus of a Redis
/// Cluster, which listens 10000 higher.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Locks of the ports that this process has handed out; the system frees them when it ends.
static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A loopback port that nobody listens on, and that no other test process gets as long as this one lives.
///
/// # Panics
/// If every port of the range is in use.
#[must_use]
pub fn free_port() -> u16 {
    // One folder a user: nobody else may write into it.
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("keyrot-test-ports-{user}"));
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written to");
    // Processes begin at different places, so that they seldom ask for the same port.
    let room = PORTS.end - PORTS.start;
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(room)).unwrap_or_default();
    for step in 0..room {
        let port = PORTS.start + (begin + step) % room;
        let path = folder.join(port.to_string());
        let Ok(lock) = File::options().create(true).append(true).open(&path) else { continue };
        if lock.try_lock().is_err() || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            continue;
        }
        CLAIMED.lock().expect("nobody panics while holding it").push(lock);
        return port;
    }
    panic!("no port of {PORTS:?} is free");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: HashSet<u16> = (0..200).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()));
    }
}
