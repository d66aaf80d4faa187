//! The real command `redis-cli`.

use std::path::PathBuf;

use crate::{Certificates, Ended, run_program, tool};

/// Where it goes and as whom.
#[derive(Clone, Debug)]
pub(crate) struct RedisCli {
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) tls: Option<ClientFiles>,
}

/// What a client of a server with TLS needs; the files outlive the server.
#[derive(Clone, Debug)]
pub(crate) struct ClientFiles {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl ClientFiles {
    pub(crate) fn of(files: &Certificates) -> Self {
        Self { ca: files.ca(), certificate: files.client_certificate(), key: files.client_key() }
    }
}

impl RedisCli {
    /// For a server that is open to everybody.
    pub(crate) fn to(port: u16) -> Self {
        Self { port, user: None, password: None, tls: None }
    }

    /// What the server answers; an error panics.
    pub(crate) async fn answer<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        // Without -e an error would be an answer like any other.
        self.run(["-e"].into_iter().chain(arguments)).await.success()
    }

    pub(crate) async fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        let mut all = vec!["-h".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), self.port.to_string()];
        if let Some(ClientFiles { ca, certificate, key }) = &self.tls {
            all.push("--tls".to_owned());
            for (name, file) in [("--cacert", ca), ("--cert", certificate), ("--key", key)] {
                all.extend([name.to_owned(), file.display().to_string()]);
            }
        }
        if let Some(user) = &self.user {
            all.extend(["--user".to_owned(), user.clone()]);
        }
        all.extend(arguments.into_iter().map(str::to_owned));
        let password = self.password.as_deref().map(|password| ("REDISCLI_AUTH", password));
        run_program(&tool("redis-cli"), all, password.as_slice(), "").await
    }

    /// True once the server answers, with its data loaded.
    pub(crate) async fn is_ready(&self) -> bool {
        self.run(["ping"]).await.stdout.trim_end() == "PONG"
    }
}
