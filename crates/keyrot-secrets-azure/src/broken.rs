//! Why there was no answer at all, in words of ours: the errors of clients show addresses and more.

use std::error::Error;
use std::io;

use keyrot_core::SecretErrorKind;

/// No answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) kind: SecretErrorKind,
    pub(crate) what: &'static str,
}

/// Looks through the causes of an error of the connection.
pub(crate) fn broken(error: &(dyn Error + 'static)) -> Broken {
    let broken = |kind, what| Broken { kind, what };
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
            return broken(SecretErrorKind::TimedOut, "no answer in time");
        }
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return broken(SecretErrorKind::TimedOut, "no answer in time"),
            Some(io::ErrorKind::ConnectionRefused) => {
                return broken(SecretErrorKind::Unreachable, "the connection is refused");
            }
            _ => {}
        }
        if let Some(what) = told(&error.to_string()) {
            return broken(SecretErrorKind::Unreachable, what);
        }
        cause = error.source();
    }
    broken(SecretErrorKind::Unreachable, "the connection breaks")
}

/// What only the text tells, in the words of rustls and of hyper.
fn told(text: &str) -> Option<&'static str> {
    let words = [
        (
            "UnknownIssuer",
            "its certificate is signed by an authority that is not trusted; name the authority's by SSL_CERT_FILE",
        ),
        ("NotValidForName", "its certificate is for another host"),
        ("not valid for name", "its certificate is for another host"),
        ("invalid peer certificate", "its certificate is not valid"),
        ("dns error", "there is no such host"),
        ("failed to lookup address", "there is no such host"),
    ];
    words.iter().find(|(word, _)| text.contains(word)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_may_be_anywhere_in_the_chain() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let outer = azure_core::Error::with_error(azure_core::error::ErrorKind::Connection, refused, "outer");
        assert_eq!(broken(&outer).what, "the connection is refused");
        let certificate = io::Error::other("invalid peer certificate: UnknownIssuer");
        assert!(broken(&certificate).what.contains("SSL_CERT_FILE"));
        let silent = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(broken(&silent).kind, SecretErrorKind::TimedOut);
        assert_eq!(broken(&io::Error::other("?")).what, "the connection breaks");
    }
}
