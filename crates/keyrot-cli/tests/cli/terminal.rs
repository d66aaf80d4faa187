//! What a person sees on a terminal: the offer to set up Python, the bar of a batch, on a narrow terminal as well.
#![cfg(target_os = "linux")]

use std::process::Command;

use gemini_sim::Latency;
use keyrot_test_servers::tool;
use serde_json::json;

use crate::place::{Place, provider, serve};

/// Runs a command on a new terminal of so many columns, types an answer once it is asked, and prints what the screen was
/// sent; the exit code last.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, struct, sys, termios
order = json.loads(sys.argv[1])
child, screen = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, order["columns"], 0, 0))
    os.execve(order["command"][0], order["command"], order["environment"])
shown = b""
try:
    while data := os.read(screen, 1000):
        shown += data
        if order["question"] and order["question"].encode() in shown:
            os.write(screen, order["answer"].encode())
            order["question"] = None
except OSError:
    pass  # the terminal ends with the command
print(shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

struct Terminal<'a> {
    columns: u16,
    /// What is asked, and what is typed then.
    question: Option<(&'a str, &'a str)>,
}

impl Terminal<'_> {
    /// What the screen was sent, the exit code last.
    fn run(&self, place: &Place, arguments: &[&str]) -> String {
        let keyrot = place.command(arguments);
        let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
        let command: Vec<String> =
            std::iter::once(keyrot.get_program()).chain(keyrot.get_args()).map(text).collect();
        let environment: Vec<(String, String)> =
            keyrot.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect();
        let environment: serde_json::Map<String, serde_json::Value> =
            environment.into_iter().map(|(name, value)| (name, value.into())).collect();
        let order = json!({
            "columns": self.columns,
            "command": command,
            "environment": environment,
            "question": self.question.map(|(question, _)| question),
            "answer": self.question.map(|(_, answer)| answer),
        });
        let mut python = Command::new(tool("python"));
        python.args(["-c", TERMINAL, &order.to_string()]).current_dir(place.folder()).env_clear();
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What was drawn, line by line, without colours and movements of the cursor.
fn drawn(screen: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut characters = screen.chars();
    while let Some(c) = characters.next() {
        match c {
            // ESC [ ... letter
            '\u{1b}' => drop(characters.find(char::is_ascii_alphabetic)),
            c => plain.push(c),
        }
    }
    plain.split(['\r', '\n']).map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: cargo xtask test"]
async fn the_bar_of_a_batch_shows_rate_keys_and_time_left_also_where_there_is_little_room() {
    let server = serve(provider().latency(Latency::Fixed { ms: 150 })).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server).set("TERM", "xterm");
    let items: String = (0..12).map(|n| format!("{}\n", json!({"text": format!("RSI below {n}")}))).collect();
    place.write("items.jsonl", &items);
    for columns in [120, 60, 30] {
        let folder = format!("out-{columns}");
        let batch = ["generate", "--batch", "items.jsonl", "--out-dir", &folder, "--no-verify"];
        let screen = Terminal { columns, question: None }.run(&place, &batch);
        assert!(screen.ends_with(" 0\n"), "{screen}");
        let lines = drawn(&screen);
        assert_eq!(lines.iter().filter(|line| line.starts_with("{\"id\"")).count(), 12, "{lines:#?}");
        let bars: Vec<&String> = lines.iter().filter(|line| line.contains("/12 ")).collect();
        let told = |words: &[&str]| bars.iter().any(|bar| words.iter().all(|word| bar.contains(word)));
        assert!(told(&["/s", "left"]), "{columns}: {bars:#?}");
        assert!(columns < 60 || told(&["1 of 1 keys in use", "\u{2588}"]), "{columns}: {bars:#?}");
        let widest = bars.iter().map(|bar| bar.chars().count()).max();
        assert!(widest <= Some(columns.into()), "{columns}: {bars:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: cargo xtask test"]
async fn a_person_is_offered_what_is_missing_before_anything_is_sent_and_may_say_no() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let data = place.path("data").display().to_string();
    let place = place.set("XDG_DATA_HOME", &data).set("PATH", "/nowhere").set("TERM", "xterm");
    let question = "Make it now? [Y/n] ";
    let refused = Terminal { columns: 80, question: Some((question, "n\n")) };
    let screen = refused.run(&place, &["generate", "RSI"]);
    assert!(
        screen.contains("--no-verify does without") && screen.contains("run `keyrot python setup` once"),
        "{screen}"
    );
    assert!(screen.contains("# NOT VERIFIED: ") && screen.ends_with(" 0\n"), "{screen}");
    assert_eq!(server.attempts().len(), 1);

    let accepted = Terminal { columns: 80, question: Some((question, "\n")) };
    let screen = accepted.run(&place, &["generate", "RSI"]);
    assert!(screen.contains("neither uv nor Python 3.11") && screen.ends_with(" 1\n"), "{screen}");
    assert_eq!(server.attempts().len(), 1, "nothing is spent for somebody who waits for a setup that fails");

    // Nobody is asked who has said it already.
    let asked = Terminal { columns: 80, question: None };
    let screen = asked.run(&place, &["generate", "RSI", "--no-verify"]);
    assert!(!screen.contains(question) && screen.ends_with(" 0\n"), "{screen}");
}
