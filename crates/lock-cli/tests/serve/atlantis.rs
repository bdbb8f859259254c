//! `lockctl serve --atlantis-listen`: the process, as an Atlantis and its operator see it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;

use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{
    CommandLock, CommandName, LegacyKey, ProjectLock, PullStatus, Timestamp, encode,
};
use lock_testkit_redis::server::RedisServer;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::common::{Scene, failed, said, send};

/// Number of rounds of each race.
const ROUNDS: usize = 500;

/// A `lockctl serve` for Atlantis, which is killed when it is dropped.
struct Serving {
    process: Child,
    web: String,
    redis: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    fn start(scene: &Scene, options: &str) -> Self {
        let options =
            format!("--json serve --listen 127.0.0.1:0 --atlantis-listen 127.0.0.1:0 {options}");
        let mut command = scene.lockctl(&options);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        let web = started["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { process, web, redis: started["atlantis"].as_str().unwrap().to_owned() }
    }

    fn client(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(&self.redis).unwrap()))
    }

    /// The body of a page.
    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.web).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// Ends by a signal, and returns the exit code and the standard error.
    fn ended(mut self, signal: Signal) -> (Option<i32>, String) {
        send(self.process.id(), signal);
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }
}

/// One connection of a pool.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Sends a command, and returns the text of the answer; nothing is `(nil)`.
    fn ask(&mut self, words: &[&str]) -> String {
        let mut frame = format!("*{}\r\n", words.len());
        for word in words {
            frame += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(frame.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix('$') {
            Some("-1") => "(nil)".to_owned(),
            Some(length) => {
                let mut body = vec![0; length.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut body).unwrap();
                String::from_utf8(body).unwrap().trim_end().to_owned()
            }
            None => line.trim_end().to_owned(),
        }
    }
}

fn key(lock: &ProjectLock) -> String {
    format!("pr/{}", LegacyKey::of(lock))
}

fn text(lock: &ProjectLock) -> String {
    String::from_utf8(encode(lock)).unwrap()
}

#[test]
fn lock_of_atlantis_is_seen_and_ended_by_everybody() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, "");
    let mut client = serving.client();
    let lock = lock("acme/infra", "modules/vpc", "default", 7);
    assert_eq!(client.ask(&["GET", &key(&lock)]), "(nil)");
    assert_eq!(client.ask(&["SET", &key(&lock), &text(&lock)]), "+OK");
    let (name, owner) =
        ("project:acme/infra:modules/vpc:default::github.com", "pull:github.com:acme/infra:7");
    for seen in [said(&mut scene.lockctl("ls")), serving.page("/"), serving.page("/v1/locks")] {
        assert!(seen.contains(name) && seen.contains(owner), "{seen}");
    }
    assert!(said(&mut scene.lockctl(&format!("show {name}"))).contains(owner));
    // Who takes turns by other means takes them with Atlantis.
    let (code, _) = failed(&mut scene.run(&format!("{name} --wait 0"), "true"));
    assert_eq!(code, 75);
    let ended = scene.lockctl(&format!("break {name} --reason stale")).output().unwrap();
    assert!(ended.status.success());
    assert_eq!(client.ask(&["GET", &key(&lock)]), "(nil)");
    let (code, said) = serving.ended(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn locks_outlive_a_service_that_is_killed_in_the_midst_of_a_sequence() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, "");
    let (own, other) =
        (lock("acme/infra", ".", "default", 7), lock("acme/infra", ".", "default", 8));
    let (apply, value) =
        ("global/apply/lock", r#"{"LockMetadata":{"UnixTime":1759037292},"CommandName":0}"#);
    let (mut client, mut competitor) = (serving.client(), serving.client());
    assert_eq!(competitor.ask(&["GET", &key(&other)]), "(nil)");
    assert_eq!(client.ask(&["SET", &key(&own), &text(&own)]), "+OK");
    assert_eq!(client.ask(&["SET", apply, value]), "+OK");
    drop(serving);
    let serving = Serving::start(&scene, "");
    let (mut client, mut competitor) = (serving.client(), serving.client());
    let refused = competitor.ask(&["SET", &key(&other), &text(&other)]);
    assert!(refused.contains("locked meanwhile by pull request 7"), "{refused}");
    // The answer may have been lost, so the client asks again.
    assert_eq!(client.ask(&["SET", &key(&own), &text(&own)]), "+OK");
    // What was read before counts no more: nothing is ended unseen.
    assert!(client.ask(&["DEL", &key(&own)]).contains("not the one that this client read"));
    assert_eq!(client.ask(&["GET", &key(&own)]), text(&own));
    assert_eq!(client.ask(&["DEL", &key(&own)]), ":1");
    assert_eq!(client.ask(&["GET", apply]), value);
    assert_eq!(client.ask(&["DEL", apply]), ":1");
}

/// `LOCK_CONNECTIONS` has the number of connections; 500 if it is not set.
#[test]
fn service_answers_on_as_many_connections_as_it_allows() {
    let count = std::env::var("LOCK_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(500);
    let scene = Scene::new();
    let config = format!("[atlantis-limits]\nconnections = {}\n", count + 1);
    fs::write(scene.path("serve.toml"), config).unwrap();
    let serving = Serving::start(&scene, "--config serve.toml");
    let mut clients: Vec<_> = (0..count).map(|_| serving.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&["PING"]), "+PONG");
    }
    let lock = lock("acme/infra", ".", "default", 7);
    assert_eq!(serving.client().ask(&["SET", &key(&lock), &text(&lock)]), "+OK");
    for client in &mut clients {
        assert_eq!(client.ask(&["GET", &key(&lock)]), text(&lock));
    }
}

/// Two Atlantis, each of which reads on one connection and writes on another one.
fn race(
    serving: &Serving,
    record: impl Fn(usize, i64) -> (String, String) + Clone + Send + 'static,
) {
    let barrier = Arc::new(Barrier::new(2));
    let atlantis = [1, 2].map(|pull| {
        let (mut reads, mut writes) = (serving.client(), serving.client());
        let (barrier, record) = (Arc::clone(&barrier), record.clone());
        thread::spawn(move || -> Vec<bool> {
            let round = |round| {
                let (key, value) = record(round, pull);
                barrier.wait();
                let is_free = reads.ask(&["GET", &key]) == "(nil)";
                barrier.wait();
                is_free && writes.ask(&["SET", &key, &value]) == "+OK"
            };
            (0..ROUNDS).map(round).collect()
        })
    });
    let [one, two] = atlantis.map(|atlantis| atlantis.join().unwrap());
    for (round, (one, two)) in one.into_iter().zip(two).enumerate() {
        assert!(one != two, "round {round}: {one} and {two}");
    }
}

#[test]
fn one_of_two_atlantis_wins_in_each_round() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, "");
    race(&serving, |round, pull| {
        let lock = lock("acme/infra", &format!("folder-{round}"), "default", pull);
        (key(&lock), text(&lock))
    });
    assert_eq!(said(&mut scene.lockctl("ls project:")).lines().count(), ROUNDS + 1);
    race(&serving, |round, pull| {
        // A name has letters alone, and the time of both is not the same.
        let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
        let name: String = [round / 676, round / 26, round].map(letter).iter().collect();
        let value = format!(r#"{{"LockMetadata":{{"UnixTime":{pull}}},"CommandName":0}}"#);
        (format!("global/{name}/lock"), value)
    });
}

/// A Redis of an Atlantis, with a lock under an old key, a lock, a status and a command.
async fn redis() -> (RedisServer, [(String, String); 4]) {
    let mut status = PullStatus::default();
    status.pull = pull("acme/infra", 7);
    let apply = CommandLock::new(CommandName::Apply, Timestamp::from_unix(7).unwrap());
    let (old, present) = (lock("acme/infra", "a/b", "default", 7), lock("acme/infra", ".", "w", 8));
    let server = RedisServer::start().await;
    let at_its_old_key = format!("pr/{}", LegacyKey::of(&old).before_names());
    server.command(&["SET", &at_its_old_key, &text(&old)]).await;
    let others = [
        (key(&present), text(&present)),
        ("github.com::acme/infra::7".to_owned(), String::from_utf8(encode(&status)).unwrap()),
        ("global/apply/lock".to_owned(), String::from_utf8(encode(&apply)).unwrap()),
    ];
    for (key, value) in &others {
        server.command(&["SET", key, value]).await;
    }
    let [one, two, three] = others;
    (server, [(key(&old), text(&old)), one, two, three])
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_from_a_redis_at_the_first_start_and_go_back() {
    let (server, records) = redis().await;
    let scene = Scene::new();
    let import = format!("--atlantis-import {}", server.url());
    let serving = Serving::start(&scene, &import);
    let mut client = serving.client();
    for (key, value) in &records {
        assert_eq!(client.ask(&["GET", key]), *value);
    }
    let (_, said_once) = serving.ended(Signal::SIGTERM);
    assert!(said_once.contains("both sides agree"), "{said_once}");
    // What ends here does not come back at the next start.
    let serving = Serving::start(&scene, &import);
    let mut client = serving.client();
    let (key, value) = &records[1];
    assert_eq!(client.ask(&["GET", key]), *value);
    assert_eq!(client.ask(&["DEL", key]), ":1");
    let (_, said_twice) = serving.ended(Signal::SIGTERM);
    assert!(said_twice.contains("that was done before"), "{said_twice}");

    // Back: not beside what is old, where the ended lock would count again.
    let (code, refused) =
        failed(&mut scene.lockctl(&format!("atlantis export --to {}", server.url())));
    assert!(
        code == 78 && refused.contains("has 1 locks and statuses that the store has not"),
        "{refused}"
    );
    let export = format!("atlantis export --to {}/1", server.url().trim_end_matches('/'));
    let dry = said(&mut scene.lockctl(&format!("{export} --dry-run")));
    assert!(dry.contains("would be moved"), "{dry}");
    let moved = scene.lockctl(&export).output().unwrap();
    assert!(moved.status.success(), "{moved:?}");
    assert_eq!(said(&mut scene.lockctl("--json ls")).matches("project:").count(), 0);
    let back = format!("{}/1", server.url().trim_end_matches('/'));
    let serving = Serving::start(&scene, &format!("--atlantis-import {back}"));
    let mut client = serving.client();
    for (number, (key, value)) in records.iter().enumerate() {
        let expected = if number == 1 { "(nil)" } else { value };
        assert_eq!(client.ask(&["GET", key]), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn import_that_is_not_whole_serves_nothing() {
    let (server, _) = redis().await;
    server.command(&["SET", "pr/acme/infra/bad/default/", "{\"token\":\"hunter2\""]).await;
    let scene = Scene::new();
    let options = format!(
        "serve --listen 127.0.0.1:0 --atlantis-listen 127.0.0.1:0 --atlantis-import {}",
        server.url()
    );
    let (code, refused) = failed(&mut scene.lockctl(&options));
    assert!(code == 78 && refused.contains("not everything was imported"), "{refused}");
    assert!(refused.contains("pr/acme/infra/bad/default/") && !refused.contains("hunter2"));
    // Mended, it goes on.
    server.command(&["DEL", "pr/acme/infra/bad/default/"]).await;
    let serving = Serving::start(&scene, &format!("--atlantis-import {}", server.url()));
    assert!(serving.client().ask(&["GET", "pr/acme/infra/./w/"]).contains("\"Num\":8"));
}

#[test]
fn records_come_from_the_file_of_an_atlantis() {
    let scene = Scene::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../lock-atlantis/tests/golden/atlantis.db");
    fs::copy(file, scene.path("atlantis.db")).unwrap();
    let serving = Serving::start(&scene, "--atlantis-import atlantis.db");
    let mut client = serving.client();
    let held = client.ask(&["GET", "pr/acme/infra/modules/vpc/default/vpc"]);
    assert!(held.contains("\"Num\":7"), "{held}");
    assert!(client.ask(&["GET", "github.com::acme/infra::7"]).contains("\"Projects\""));
    assert!(client.ask(&["GET", "global/apply/lock"]).contains("UnixTime"));
    let checked = said(&mut scene.lockctl(
        "serve --check --listen 127.0.0.1:0 --atlantis-listen 127.0.0.1:0 --atlantis-import atlantis.db",
    ));
    assert!(checked.contains("import of atlantis.db, 3 records, 0 damaged"), "{checked}");
}

#[test]
fn options_of_atlantis_are_checked_as_the_others_are() {
    let scene = Scene::new();
    let config = "[atlantis-limits]\nframe-bytes = 200\nidle-timeout = '90s'\n";
    fs::write(scene.path("serve.toml"), config).unwrap();
    let serving = Serving::start(&scene, "--config serve.toml");
    let large = "x".repeat(200);
    assert!(serving.client().ask(&["ECHO", &large]).contains("too large"));
    let serve = "serve --listen 127.0.0.1:0";
    for (options, expected) in [
        ("--atlantis-listen 0.0.0.0:0", "other machines can reach it"),
        ("--atlantis-listen nowhere", "use ADDRESS:PORT"),
        ("--atlantis-listen 127.0.0.1:0 --atlantis-import nothing.db", "cannot be copied"),
    ] {
        let (code, refused) = failed(&mut scene.lockctl(&format!("{serve} {options}")));
        assert!(matches!(code, 64 | 78) && refused.contains(expected), "{options}: {refused}");
    }
    fs::write(scene.path("serve.toml"), "[atlantis-limits]\nframes = 1\n").unwrap();
    let (code, refused) = failed(&mut scene.lockctl("serve --config serve.toml"));
    assert!(code == 78 && refused.contains("unknown field"), "{refused}");
}
