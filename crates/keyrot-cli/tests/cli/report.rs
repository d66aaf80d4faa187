//! `keyrot generate --report`: the page opens without a network, asks nobody for anything and shows what was run.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use keyrot_test_servers::tool;
use serde_json::Value;

use crate::place::{Place, provider, serve};

/// What a browser did with a page.
struct Opened {
    /// Addresses that it asked for, other than the file itself.
    requests: Vec<String>,
    /// What the page wrote to the console, errors included.
    console: Vec<String>,
    screenshot: Vec<u8>,
}

fn open(page: &Path, place: &Place) -> Opened {
    let path = |name: &str| place.path(name).display().to_string();
    let output = Command::new(tool("chromium"))
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", path("profile")))
        .arg(format!("--log-net-log={}", path("net.json")))
        .arg(format!("--screenshot={}", path("page.png")))
        .args(["--window-size=1000,2400".to_owned(), format!("file://{}", page.display())])
        .env_clear()
        .env("HOME", path("profile"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let log: Value = serde_json::from_str(&place.read("net.json")).unwrap();
    let events = log["events"].as_array().unwrap();
    let requests = events.iter().filter_map(|event| event["params"]["url"].as_str()).map(str::to_owned);
    Opened {
        requests: requests.collect(),
        console: told.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        screenshot: std::fs::read(place.path("page.png")).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6 and Chromium: cargo xtask test"]
async fn the_page_opens_offline_without_a_request_or_an_error() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server).with_python();
    let text = "Buy when RSI < 30, sell when RSI > 70 <script src=http://127.0.0.1:9/x.js></script>";
    let run = place.run(&["generate", text, "--report", "report", "--out", "s.py"]);
    assert_eq!(run.code, 0, "{run:?}");
    let page = place.read("report/index.html");
    for shown in [
        "Verified: ",
        "RSI &lt; 30",
        "Equity",
        "Drawdown",
        "Trades on the price",
        "Sharpe Ratio",
        "<th>period</th><td>14</td><td>period of the relative strength index</td>",
        "<h2>What the model has assumed</h2>\n<ul>\n<li>Every entry uses all of the available cash.</li>",
        "gate",
        "gemini-flash-latest",
    ] {
        assert!(page.contains(shown), "{shown} is missing");
    }
    let at = |name: &str| page.find(&format!("<th>{name}</th>")).unwrap();
    assert!(
        at("Start") < at("Return [%]") && at("Return [%]") < at("Alpha [%]"),
        "as the library orders them"
    );
    assert!(
        page.matches("<svg").count() == 3 && page.contains("class=\"long\""),
        "three charts, with trades"
    );
    assert!(!page.contains("secret-of") && !page.contains("<script"), "{page}");
    let report: Value = serde_json::from_str(&place.read("report/report.json")).unwrap();
    assert_eq!(report["report"]["backtest"]["close"].as_array().unwrap().len(), 2148);
    assert!(!report.to_string().contains("secret-of"));

    let opened = open(&place.path("report/index.html"), &place);
    assert_eq!((opened.requests, opened.console), (vec![], vec![]));
    assert!(
        opened.screenshot.starts_with(b"\x89PNG") && opened.screenshot.len() > 20_000,
        "nothing is to be seen"
    );

    // A page that does what ours must not is found out.
    place.write(
        "bad.html",
        "<img src=\"http://127.0.0.1:9/x.png\"><script>console.error('sentinel')</script>",
    );
    let bad = open(&place.path("bad.html"), &place);
    assert!(bad.requests.iter().any(|url| url == "http://127.0.0.1:9/x.png"), "{:?}", bad.requests);
    assert!(bad.console.iter().any(|line| line.contains("sentinel")), "{:?}", bad.console);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_run_has_a_report_as_well_and_says_why() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let run = place.run(&["generate", "RSI", "--report", "report"]);
    assert_eq!(run.code, 0, "{run:?}");
    let page = place.read("report/index.html");
    assert!(page.contains("Not verified: no Python environment") && !page.contains("<svg"), "{page}");
    place.write("file", "");
    place.run(&["generate", "RSI", "--report", "file"]).fails(2, &["--report file cannot be made"]);
}
