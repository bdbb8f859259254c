//! The commands of each operation of Atlantis, in the order and form in which it sends them.
//!
//! The file is also replayed by clients of other languages: `cargo xtask door`.

use serde_json::Value;

use crate::common::{SWAP, Server, UNLOCK, frame};

const SEQUENCES: &str = include_str!("../recorded/sequences.json");

#[tokio::test]
async fn recorded_sequences_are_answered_as_recorded() {
    let sequences: Value = serde_json::from_str(SEQUENCES).unwrap();
    for sequence in sequences["sequences"].as_array().unwrap() {
        let server = Server::start().await;
        let mut client = server.client(None).await;
        for step in sequence["steps"].as_array().unwrap() {
            let words = words(&step["send"]);
            let mut command = redis::cmd(&words[0]);
            command.arg(&words[1..]);
            let answer: redis::RedisResult<redis::Value> = command.query_async(&mut client).await;
            let answer = match answer {
                Ok(value) => plain(value),
                Err(error) => Value::from(format!("error: {error}")),
            };
            let (name, expected) = (&sequence["name"], &step["answer"]);
            match expected.as_str().and_then(|text| text.strip_prefix("error: ")) {
                Some(part) => {
                    let said = answer.as_str().unwrap_or_default();
                    assert!(said.contains(part), "{name}: {words:?}: {answer}");
                }
                None => assert_eq!(answer, *expected, "{name}: {words:?}"),
            }
        }
    }
}

/// The words of a step, in which a script stands by its name.
fn words(send: &Value) -> Vec<String> {
    let word = |word: &Value| match word.as_str().unwrap() {
        "<unlock>" => UNLOCK.clone(),
        "<swap>" => SWAP.clone(),
        word => word.to_owned(),
    };
    send.as_array().unwrap().iter().map(word).collect()
}

fn plain(value: redis::Value) -> Value {
    match value {
        redis::Value::Nil => Value::Null,
        redis::Value::Int(number) => number.into(),
        redis::Value::BulkString(bytes) => String::from_utf8(bytes).unwrap().into(),
        redis::Value::SimpleString(text) => text.into(),
        redis::Value::Okay => "OK".into(),
        redis::Value::Array(items) => items.into_iter().map(plain).collect(),
        other => format!("{other:?}").into(),
    }
}

/// What go-redis sends on a new connection: the first in one piece, and the rest as a pipeline of
/// which some may fail.
#[tokio::test]
async fn connection_of_go_redis_begins() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    raw.send(frame(&["hello", "3"])).await;
    raw.expect("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n").await;
    raw.expect("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n").await;
    raw.expect("$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n").await;
    let pipeline = [
        frame(&["client", "maint_notifications", "on", "moving-endpoint-type", "internal-ip"]),
        frame(&["client", "setinfo", "LIB-NAME", "go-redis(,go1.25.4)"]),
        frame(&["client", "setinfo", "LIB-VER", "9.17.2"]),
        frame(&["ping"]),
        frame(&["get", "pr/acme/infra/./default/"]),
    ];
    raw.send(pipeline.concat()).await;
    raw.expect("-ERR unknown subcommand 'maint_notifications': this is a lock server").await;
    raw.expect(" for Atlantis\r\n+OK\r\n+OK\r\n+PONG\r\n_\r\n").await;
}
