//! Signals and readers that go away.
#![cfg(unix)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gemini_sim::{Fault, FaultKind, SimServer};

use crate::place::{Place, Run, provider, serve};

/// A generation that hangs at the provider.
async fn hanging(server: &SimServer, place: &Place) -> Child {
    let mut command = place.command(&["generate", "x", "--out", "s.py"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let arrived = async {
        while server.attempts().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), arrived).await.expect("the call arrives");
    child
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_sigterm_end_it_cleanly() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let server = serve(provider().fault(Fault::new(FaultKind::Slow { extra_ms: 600_000 }))).await;
        let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
        let child = hanging(&server, &place).await;
        signal(&child, name);
        let run = Run::from(child.wait_with_output().unwrap());
        run.fails(code, &["stopped"]);
        assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 0, "no file is left behind");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let entries: Vec<String> =
        (0..3000).map(|number| format!(r#"{{"key_id": "k{number}", "model_name": "m"}}"#)).collect();
    let place = Place::new().file("keys.json", &format!(r#"{{"keys": [{}]}}"#, entries.join(",")));
    for arguments in [&["keys", "list"][..], &["keys", "list", "--json"]] {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take()); // far more than a pipe holds is still to come
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!((run.code, &*run.stderr), (0, ""), "{run:?}");
    }
}
