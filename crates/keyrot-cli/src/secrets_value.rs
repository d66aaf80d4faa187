//! An API key from a person or a pipe: hidden while it is typed, never an argument, which every process could read.

use std::io::{self, ErrorKind, IsTerminal, Read};

use keyrot::secrecy::SecretString;
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::session;

/// Far more than any API key; a larger input is some other file.
const LONGEST: u64 = 64 * 1024;

/// The key, without white space around it.
pub(crate) async fn read(key_id: &str) -> Result<SecretString, Failure> {
    let prompt = format!("API key of {key_id} (not shown): ");
    let typed = io::stdin().is_terminal();
    let (give, given) = oneshot::channel();
    // not a task of the runtime, which would wait at its end for somebody to type
    std::thread::spawn(move || {
        let text = if typed { rpassword::prompt_password(prompt) } else { piped(io::stdin().lock()) };
        let _ = give.send(text); // nobody waits any more: a signal came
    });
    let given = async { given.await.unwrap_or_else(|_| Err(ErrorKind::UnexpectedEof.into())) };
    // on a terminal the prompt itself sees Ctrl-C: it gives the terminal back, then sends the signal
    let text = tokio::select! {
        signal = session::stop_signal() => return Err(Failure::stopped(signal).saying(UNCHANGED)),
        text = given => text,
    };
    match text {
        Ok(text) => checked(&text),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(Failure::stopped(2).saying(UNCHANGED)),
        Err(error) => Err(Failure::usage(format!("the API key cannot be read: {error}"))),
    }
}

const UNCHANGED: &str = "stopped: nothing was changed";

fn piped(input: impl Read) -> io::Result<String> {
    let mut text = String::new();
    input.take(LONGEST + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// A header carries it. Anything else came along when the key was copied.
pub(crate) fn can_be_sent(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn checked(text: &str) -> Result<SecretString, Failure> {
    let text = text.trim();
    let problem = if text.is_empty() {
        "the API key is empty; type it when you are asked, or write it to standard input"
    } else if text.len() as u64 > LONGEST {
        "this is more than 64 KiB; an API key is one short line"
    } else if text.contains(char::is_whitespace) {
        "this holds white space; an API key is one word (it is not shown here)"
    } else if !can_be_sent(text) {
        "this holds a character that no API key has: allowed are the visible ones of ASCII (it is not shown here)"
    } else {
        return Ok(SecretString::from(text));
    };
    Err(Failure::usage(problem))
}

#[cfg(test)]
mod tests {
    use keyrot::secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_is_one_visible_word() {
        assert_eq!(checked(" \tAIza-x\r\n").unwrap().expose_secret(), "AIza-x");
        for (text, said) in [
            ("", "is empty"),
            (" \r\n", "is empty"),
            ("sentinel one", "white space"),
            ("sentinel\nsentinel", "white space"),
            ("sentinel\u{7}", "visible"),
            ("sentinelé", "visible"),
            (&"s".repeat(70_000), "64 KiB"),
        ] {
            let told = format!("{:?}", checked(text).unwrap_err());
            assert!(told.contains(said) && !told.contains("sentinel"), "{told}");
        }
        assert_eq!(piped(io::repeat(b'x')).unwrap().len(), 64 * 1024 + 1, "the rest is left where it is");
    }
}
