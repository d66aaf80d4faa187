//! The scripts, sent by their hash and in full only to a server that does not know them.

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

pub(crate) static RESERVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("begin.lua"),
        include_str!("straight.lua"),
        include_str!("record.lua"),
        include_str!("reserve.lua"),
    ))
});
pub(crate) static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("begin.lua"), include_str!("record.lua"), include_str!("settle.lua")))
});
pub(crate) static PROCESSES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("processes.lua")));
pub(crate) static SNAPSHOT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("snapshot.lua")));

/// One script.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

/// What a script is called with.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) keys: Vec<String>,
    pub(crate) values: Vec<Vec<u8>>,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// Runs it. A server forgets scripts when it restarts; that costs one more round trip.
    pub(crate) async fn run(
        &self,
        on: &mut (impl ConnectionLike + Send),
        arguments: &Arguments,
    ) -> RedisResult<Value> {
        let by_hash = command("EVALSHA", &self.hash, arguments);
        match on.req_packed_command(&by_hash).await.and_then(Value::extract_error) {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                on.req_packed_command(&command("EVAL", self.code, arguments)).await?.extract_error()
            }
            reply => reply,
        }
    }
}

fn command(name: &str, script: &str, arguments: &Arguments) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(arguments.keys.len());
    for key in &arguments.keys {
        command.arg(key);
    }
    for value in &arguments.values {
        command.arg(value);
    }
    command
}
