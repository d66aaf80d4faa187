//! `keyrot python setup`: what it makes, what it does when it is interrupted, and what was left behind.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keyrot_test_servers::{tool, wait_until};

use crate::place::{Place, Run, provider, serve};
use crate::stopping::signal;

const SETUP: [&str; 2] = ["python", "setup"];

/// An installer that begins, starts a process of its own, and never ends. Both numbers are in `pids`.
const ENDLESS: &str = r#"#!/bin/sh
for place; do :; done
mkdir -p "$place/lib"
sleep 600 &
echo "$$ $!" > "$HOME/pids.new"
mv "$HOME/pids.new" "$HOME/pids"
wait
"#;

/// With this program as uv.
fn place(uv: &str) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    let (home, bin) = (place.folder().display().to_string(), place.path("bin").display().to_string());
    let data = place.path("data").display().to_string();
    let place = place.file("bin/uv", uv).set("HOME", &home).set("XDG_DATA_HOME", &data);
    fs::set_permissions(place.path("bin/uv"), fs::Permissions::from_mode(0o755)).unwrap();
    place.set("PATH", &format!("{bin}:/usr/bin:/bin"))
}

/// The names in the folder of the environment.
fn kept(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path("data/keyrot")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A setup whose installer is under way, and the numbers of the installer's processes.
async fn under_way(place: &Place) -> (Child, Vec<String>) {
    let mut command = place.command(&SETUP);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the installer begins", Duration::from_secs(60), async || place.path("pids").exists()).await;
    let pids = place.read("pids").split_whitespace().map(str::to_owned).collect();
    (child, pids)
}

/// It is there, and has not ended.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_signal_ends_the_installer_and_leaves_nothing_behind() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let place = place(ENDLESS);
        let (child, pids) = under_way(&place).await;
        assert_eq!(kept(&place).len(), 2, "a draft and the lock");
        signal(&child, name);
        Run::from(child.wait_with_output().unwrap()).fails(code, &["stopped"]);
        assert_eq!(kept(&place), ["python.lock"]);
        assert!(pids.len() == 2 && !pids.iter().any(|pid| lives(pid)), "{pids:?}");
    }
}

#[tokio::test]
async fn what_a_killed_setup_left_behind_is_removed_by_the_next() {
    let place = place(ENDLESS);
    let (mut child, pids) = under_way(&place).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(kept(&place).len(), 2, "a draft and the lock");
    // Its installer goes on.
    place.run(&SETUP).fails(1, &["another `keyrot python setup`", "python.lock", "try again"]);
    assert_eq!(kept(&place).len(), 2, "the draft is in use");
    assert!(Command::new("kill").arg("-KILL").args(&pids).status().unwrap().success());
    wait_until("it is gone", Duration::from_secs(60), async || !pids.iter().any(|pid| lives(pid))).await;
    let place = place.set("PATH", "/nowhere");
    place.run(&SETUP).fails(1, &["neither uv nor Python 3.11"]);
    assert_eq!(kept(&place), ["python.lock"]);
}

#[test]
fn setup_names_what_it_needs() {
    let place = Place::new();
    place.run(&SETUP).fails(2, &["HOME or XDG_DATA_HOME"]);
    let data = place.path("data").display().to_string();
    let place = place.set("XDG_DATA_HOME", &data).set("PATH", "/nowhere");
    place.run(&SETUP).fails(1, &["neither uv nor Python 3.11"]);
    assert_eq!(kept(&place), ["python.lock"]);
}

#[test]
fn an_installer_that_fails_is_quoted_where_there_is_no_other() {
    let place = place("#!/bin/sh\necho 'error: no such index' >&2\nexit 3\n");
    let bin = place.path("bin").display().to_string();
    let place = place.set("PATH", &bin);
    place.run(&SETUP).fails(1, &["uv ended with exit status: 3", "error: no such index"]);
    assert_eq!(kept(&place), ["python.lock"]);
}

#[test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
fn an_environment_that_is_there_is_tried() {
    let run = Place::new().with_python().run(&SETUP);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("is there already"), "{run:?}");

    let place = Place::new().with_python_without_packages().set("PATH", "/nowhere");
    place.run(&SETUP).fails(
        1,
        &["is broken and is made anew", "No module named 'backtesting'", "neither uv nor Python 3.11"],
    );
    assert_eq!(kept(&place), ["python", "python.lock"], "a broken one is kept until there is a better one");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a package index: cargo xtask test"]
async fn what_setup_makes_verifies_a_strategy_also_where_uv_fails() {
    let server = serve(provider()).await;
    let place = place("#!/bin/sh\necho 'error: no such index' >&2\nexit 3\n")
        .set("GEMINI_API_KEY", "secret-of-single")
        .at(&server);
    // In place of one that is broken.
    let place = place.with_python_without_packages();
    let run = place.run(&["python", "setup", "--json"]);
    assert_eq!(run.json()["made"], true);
    assert!(!run.stderr.contains("cannot isolate"), "{run:?}");
    for told in
        ["is broken and is made anew", "error: no such index", "uv has failed; venv and pip are tried"]
    {
        assert!(run.stderr.contains(told), "{told}: {run:?}");
    }
    assert_eq!(kept(&place), ["python", "python.lock"]);
    assert_eq!(place.run(&["python", "setup", "--json"]).json()["made"], false);
    let text = "Buy when RSI < 30, sell when RSI > 70";
    assert_eq!(place.run(&["generate", text, "--json", "--require-verified"]).json()["verified"], true);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a package index: cargo xtask test"]
async fn where_uv_is_installed_it_makes_the_environment() {
    let server = serve(provider()).await;
    let place = place("").set("GEMINI_API_KEY", "secret-of-single").at(&server);
    fs::remove_file(place.path("bin/uv")).unwrap();
    std::os::unix::fs::symlink(tool("uv"), place.path("bin/uv")).unwrap();
    let python = tool("python").canonicalize().unwrap();
    let path = [&*place.path("bin"), python.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")];
    let path = std::env::join_paths(path).unwrap().into_string().unwrap();
    let mut place = place.set("PATH", &path);
    // uv brings certificates of its own, which do not know a proxy that the machine trusts.
    let certificates = "/etc/ssl/certs/ca-certificates.crt";
    if Path::new(certificates).exists() {
        place = place.set("SSL_CERT_FILE", certificates);
    }
    let run = place.run(&["python", "setup", "--json"]);
    assert_eq!(run.json()["made"], true);
    assert!(!run.stderr.contains("uv has failed"), "{run:?}");
    let lib = fs::read_dir(place.path("data/keyrot/python/lib")).unwrap().next().unwrap().unwrap().path();
    let installer = lib.join("site-packages/backtesting-0.6.6.dist-info/INSTALLER");
    assert_eq!(fs::read_to_string(installer).unwrap().trim(), "uv");
    let text = "Buy when RSI < 30, sell when RSI > 70";
    assert_eq!(place.run(&["generate", text, "--json", "--require-verified"]).json()["verified"], true);
}
