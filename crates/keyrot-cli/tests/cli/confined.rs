//! A strategy that is let through the gate and reaches for the key, the home and the network gets none of them.
#![cfg(target_os = "linux")]

use std::net::TcpListener;

use crate::place::{Place, provider, serve};
use crate::verified::answer;

const SENTINEL: &str = "secret-of-single";

/// Trades, unless it has got hold of something: then it says of what.
const REACHES: &str = r#"import os
import socket

from backtesting import Strategy
from backtesting.lib import crossover


def read(path):
    file = os.open(path, os.O_RDONLY)
    return os.read(file, 100_000)


def connect():
    socket.create_connection(("127.0.0.1", PORT), 3)
    return b"connected"


def start():
    os.posix_spawn("/bin/true", ["true"], {})
    return b"started"


def environment():
    return repr(dict(os.environ)).encode()


def reached():
    found = []
    for name, attempt in (
        ("own environment", environment),
        ("environment of the parent", lambda: read(f"/proc/{os.getppid()}/environ")),
        ("home", lambda: read("HOME/.env")),
        ("network", connect),
        ("process", start),
    ):
        try:
            got = attempt()
        except OSError:
            continue
        if b"SENTINEL" in got or got in (b"connected", b"started"):
            found.append(name)
    return found


class Reaches(Strategy):
    def init(self):
        found = reached()
        if found:
            raise RuntimeError(f"reached: {found}")
        self.mean = self.I(lambda prices: prices.cumsum() / (prices.cumsum() * 0 + 1).cumsum(), self.data.Close)

    def next(self):
        if crossover(self.data.Close, self.mean):
            self.buy()
        elif crossover(self.mean, self.data.Close):
            self.position.close()
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn what_the_gate_lets_through_reaches_no_key_no_file_no_network_and_no_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let place = Place::new().set("GEMINI_API_KEY", SENTINEL).with_python();
    let home = place.folder().display().to_string();
    place.write(".env", &format!("GEMINI_KEY_flash_01={SENTINEL}\n"));
    let code = REACHES.replace("HOME", &home).replace("PORT", &port).replace("SENTINEL", SENTINEL);
    let server = serve(provider().fault(answer(&code, 100))).await;
    let place = place.set("HOME", &home).at(&server);
    let generate =
        ["generate", "RSI", "--repairs", "0", "--json", "--allow-import", "os", "--allow-import", "socket"];
    let json = place.run(&generate).json();
    assert_eq!(json["verified"], true, "{}", json["report"]["fault"]);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody has connected");

    // Without the sandbox it gets all but its own environment, which is empty in any case.
    let run = place.run(&[&generate[..], &["--unsafe-no-sandbox"]].concat());
    let reached = "reached: ['environment of the parent', 'home', 'network', 'process']";
    run.fails(1, &[reached]);
}
