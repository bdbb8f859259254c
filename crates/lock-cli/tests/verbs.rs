//! The other verbs: scripts that hold leases, people who look, operators who interfere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Scene, failed, now, said};
use lock_atlantis::RedisDocuments;
use lock_compat::legacy::{LegacyKey, Project, ProjectLock, PullRequest, Timestamp, User};
use lock_compat::{AcquireOptions, LegacyBackend as _, LockAdapter};
use lock_core::{LockManager, OwnerId};
use lock_redis::{RedisBackend, RedisConfig};
use lock_sqlite::{SqliteConfig, SqliteDocuments};
use lock_testkit_redis::cluster::RedisCluster;
use lock_testkit_redis::sentinel::SentinelSet;
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

/// The exit code and the output of a command that reads this input.
fn fed(command: &mut Command, input: &str) -> (Option<i32>, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn script_acquires_renews_and_releases() {
    let scene = Scene::new();
    let lease = said(&mut scene.lockctl("acquire deploy --owner script --ttl 10s"));
    let read: Value = serde_json::from_str(&lease).unwrap();
    assert_eq!((&read["key"], &read["owner"]), (&"deploy".into(), &"script".into()), "{lease}");
    assert_eq!(failed(&mut scene.lockctl("acquire deploy --wait 0")).0, 75);
    let (code, renewed) = fed(&mut scene.lockctl("renew"), &lease);
    assert_eq!(code, Some(0));
    let renewed: Value = serde_json::from_str(&renewed).unwrap();
    assert!(renewed["expires_at"].as_u64() > read["expires_at"].as_u64());
    assert_eq!(
        fed(&mut scene.lockctl("release"), &lease),
        (Some(0), "released deploy\n".to_owned())
    );
    assert_eq!(fed(&mut scene.lockctl("release"), &lease).0, Some(79), "it is over");
    assert_eq!(fed(&mut scene.lockctl("renew"), &lease).0, Some(79), "it is over");
    assert!(scene.is_free("deploy"));
}

#[test]
fn lease_is_handed_to_another_owner() {
    let scene = Scene::new();
    let lease = said(&mut scene.lockctl("acquire deploy --owner alice"));
    let (code, handed) = fed(&mut scene.lockctl("transfer --to bob"), &lease);
    assert_eq!(code, Some(0));
    assert!(said(&mut scene.lockctl("show deploy")).contains("bob"));
    assert_eq!(fed(&mut scene.lockctl("release"), &lease).0, Some(79), "alice's is over");
    assert_eq!(fed(&mut scene.lockctl("release"), &handed).0, Some(0));
}

#[test]
fn holder_is_asked_to_release_and_hears_who_and_why() {
    let scene = Scene::new();
    let ask = "request-release deploy --owner bob --within 20s --reason";
    assert_eq!(said(scene.lockctl(ask).arg("nobody holds it")), "deploy was released\n");
    let mut holder = scene.run("deploy", "sleep 2").stderr(Stdio::piped()).spawn().unwrap();
    scene.shows("deploy", "HOLDER");
    let brief = "request-release deploy --within 10ms --reason now";
    assert_eq!(failed(&mut scene.lockctl(brief)).0, 75);
    assert_eq!(said(scene.lockctl(ask).arg("release 3.2")), "deploy was released\n");
    let mut heard = String::new();
    holder.stderr.take().unwrap().read_to_string(&mut heard).unwrap();
    assert!(heard.contains("`bob` asks for the release of `deploy`: release 3.2"), "{heard}");
    assert!(holder.wait().unwrap().success());
}

#[test]
fn leases_are_listed_as_a_table_and_as_json() {
    let scene = Scene::new();
    for key in ["shop/prod", "shop/test", "infra"] {
        said(&mut scene.lockctl(&format!("acquire {key} --owner alice --ttl 1h")));
    }
    let listed = said(&mut scene.lockctl("ls shop/"));
    let keys: Vec<_> = listed.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(keys, ["KEY", "shop/prod", "shop/test"]);
    let listed = said(&mut scene.lockctl("ls --json"));
    let lines = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let keys: Vec<_> = lines.map(|lease| lease["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, ["infra", "shop/prod", "shop/test"]);
}

#[test]
fn waiting_does_not_end_before_its_time() {
    let scene = Scene::new();
    said(&mut scene.lockctl("acquire deploy"));
    let start = now();
    assert_eq!(failed(&mut scene.lockctl("wait deploy --wait 700ms")).0, 75);
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
}

#[test]
fn waiting_ends_when_the_key_is_free() {
    let scene = Scene::new();
    assert!(scene.lockctl("wait deploy").status().unwrap().success());
    let lease = said(&mut scene.lockctl("acquire deploy"));
    assert_eq!(failed(&mut scene.lockctl("wait deploy --wait 100ms")).0, 75);
    let mut waiter = scene.lockctl("wait deploy --wait 20s").spawn().unwrap();
    fed(&mut scene.lockctl("release"), &lease);
    assert!(waiter.wait().unwrap().success());
}

#[test]
fn waiter_is_taken_out_by_its_request() {
    let scene = Scene::new();
    said(&mut scene.lockctl("acquire deploy --ttl 1h"));
    let waiter = scene.run("deploy", "true").stderr(Stdio::piped()).spawn().unwrap();
    scene.shows("deploy", "WAITER");
    let shown: Value =
        serde_json::from_str(&said(&mut scene.lockctl("show deploy --json"))).unwrap();
    let request = shown["waiters"]["items"][0]["request"].as_str().unwrap().to_owned();
    let cancelled = scene.lockctl(&format!("cancel deploy {request}")).status().unwrap();
    assert!(cancelled.success());
    assert_eq!(waiter.wait_with_output().unwrap().status.code(), Some(79));
    assert_eq!(failed(&mut scene.lockctl(&format!("cancel deploy {request}"))).0, 79);
}

#[test]
fn doctor_describes_the_store() {
    let scene = Scene::new();
    let told: Value = serde_json::from_str(&said(&mut scene.lockctl("doctor --json"))).unwrap();
    assert!(told["store"].as_str().unwrap().starts_with("sqlite"), "{told}");
    assert_eq!((&told["durable"], &told["shared"]), (&true.into(), &false.into()), "{told}");
    assert!(told["round_trip_us"].is_u64() && told["grants"] == true, "{told}");
}

#[test]
fn bad_input_is_one_sentence_and_the_right_code() {
    let scene = Scene::new();
    std::fs::write(scene.path("foreign"), "no database").unwrap();
    std::fs::create_dir(scene.path("folder")).unwrap();
    for pipe in ["pipe", "piped.mail"] {
        mkfifo(&scene.path(pipe), Mode::S_IRWXU).unwrap();
    }
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--url", "ftp://host/", "ls"], 64, "there is no store for `ftp:`"),
        (&["--url", "nonsense", "ls"], 64, "the URL names no store"),
        (&["--url", "sqlite:", "ls"], 64, "needs a path"),
        (&["--url", "sqlite:foreign", "ls"], 78, "foreign"),
        (&["--url", "sqlite:folder", "ls"], 78, "no ordinary file"),
        (&["--url", "sqlite:pipe", "ls"], 78, "no ordinary file"),
        (&["--url", "sqlite:/dev/null", "ls"], 78, "no ordinary file"),
        (&["--url", "sqlite:piped", "ls"], 77, "piped.mail"),
        (&["--url", "sqlite:/no/such/folder/file", "ls"], 77, "/no/such/folder"),
        (&["--url", "redis://127.0.0.1:1/", "ls"], 69, "127.0.0.1:1"),
        (&["run", "deploy", "--wait", "soon", "--", "true"], 64, "--wait"),
        (&["run", "deploy", "--ttl", "1us", "--", "true"], 64, "ttl"),
        (&["run", "", "--", "true"], 64, "key"),
        (&["run", "a\u{7}b", "--", "true"], 64, "key"),
        (&["run", "deploy"], 64, "COMMAND"),
        (&["run", "deploy", "--shared", "--permits", "2", "--", "true"], 64, "cannot be used with"),
        (&["release"], 64, "standard input is not a lease"),
        (&["repair", "deploy"], 78, "Redis"),
        (&["atlantis", "list"], 64, "--url"),
        (&["atlantis", "queues", "--pull", "7"], 64, "--repo"),
        (&["atlantis", "queues", "--repo", "r/r", "--pull", "0"], 64, "--pull"),
        (&["atlantis", "queues", "--repo", "", "--pull", "7"], 64, "--repo"),
        (&["atlantis", "queues", "--repo", "r/r", "--name", "n"], 64, "--path"),
        (&["atlantis", "queues", "--repo", "r/r", "--path", &"x".repeat(2000)], 64, "at most 1024"),
        (&["atlantis", "queues", "--repo", &"x".repeat(2000), "--pull", "7"], 64, "at most "),
        (&["frobnicate"], 64, "frobnicate"),
    ];
    for (words, expected, part) in cases {
        let (code, said) = failed(scene.lockctl("").args(*words));
        assert_eq!(code, *expected, "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
    let (code, said) = failed(scene.lockctl("run").arg(OsStr::from_bytes(b"\xff")));
    assert!(code == 64 && !said.contains("panicked"), "{code}: {said}");
    assert_eq!(std::fs::read_to_string(scene.path("foreign")).unwrap(), "no database");
}

#[test]
fn closed_output_causes_no_panic_and_leaves_nothing_locked() {
    let scene = Scene::new();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for words in ["ls", "doctor", "acquire deploy", "completions bash", "man"] {
        let status = scene.lockctl(words).stdout(full()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(74), "{words}");
    }
    let status = scene.lockctl("--url ftp://host/ ls").stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(64));
    assert!(scene.is_free("deploy"));
}

/// As other programs do in a pipeline.
#[test]
fn reader_that_has_enough_is_no_failure_to_tell_of() {
    let scene = Scene::new();
    for words in ["ls", "acquire deploy", "man"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = scene.lockctl(words).stdout(writer).output().unwrap();
        assert_eq!((output.status.signal(), output.stderr), (Some(13), Vec::new()), "{words}");
    }
    assert!(scene.is_free("deploy"));
}

#[tokio::test]
async fn no_password_is_printed() {
    let server = RedisServer::start_with(ServerConfig::new().with("requirepass", "s3cret")).await;
    let socket = server.unix_url();
    let urls = [
        format!("redis://:s3cret@{}/", server.addr()),
        format!("{socket}?pass=s3cret"),
        format!("redis://user:s3cret@{}/", server.addr()),
    ];
    let printed = tokio::task::spawn_blocking(move || {
        let mut printed = Vec::new();
        for url in urls {
            for verb in ["doctor", "--json doctor", "ls --json"] {
                let output = Scene::at(url.clone()).lockctl(verb).output().unwrap();
                printed.push((output.status.code(), [output.stdout, output.stderr].concat()));
            }
        }
        printed
    });
    let printed = printed.await.unwrap();
    assert!(printed.iter().filter(|(code, _)| *code == Some(0)).count() >= 6, "{printed:?}");
    for (_, printed) in printed {
        let printed = String::from_utf8(printed).unwrap();
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}

#[test]
fn errors_are_json_where_it_is_asked_for() {
    let scene = Scene::new();
    for words in ["--json --url ftp://host/ ls", "--json frobnicate"] {
        let (code, said) = failed(&mut scene.lockctl(words));
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &error["error"]["code"]), (64, &64.into()));
    }
}

/// The lock of a folder for a pull request.
fn of(path: &str, num: i64) -> ProjectLock {
    let mut pull = PullRequest::default();
    pull.num = num;
    pull.author = format!("author-{num}");
    (pull.base_repo.full_name, pull.base_repo.vcs_host.hostname) =
        ("acme/infra".to_owned(), "github.com".to_owned());
    let user = User::new(&format!("user-{num}"));
    let project = Project::new("acme/infra", path, "");
    ProjectLock::new(project, pull, user, "default", Timestamp::default())
}

/// Three pull requests at two projects, as `lockctl` shows them.
async fn assert_queues_are_shown(scene: Scene, adapter: LockAdapter) {
    for (path, num) in [("vpc", 7), ("dns", 7), ("vpc", 8), ("vpc", 9), ("dns", 9)] {
        let lock = of(path, num);
        if num == 7 {
            assert!(adapter.try_lock(lock).await.unwrap().0);
            continue;
        }
        let (waiting, key) = (adapter.clone(), LegacyKey::of(&lock));
        tokio::spawn(async move { waiting.acquire(lock, &AcquireOptions::default()).await });
        let is_there = async || {
            let found = adapter.queues_of_pull("acme/infra", num).await.unwrap();
            found.queues.iter().any(|queue| queue.name.to_string() == key.to_string())
        };
        while !is_there().await {
            tokio::task::yield_now().await;
        }
    }
    let shown = tokio::task::spawn_blocking(move || {
        let repo = "--repo acme/infra";
        ["", repo, &format!("{repo} --pull 9"), &format!("{repo} --path ./vpc"), "--repo acme/none"]
            .map(|asked| {
                let table = said(&mut scene.lockctl(&format!("atlantis queues {asked}")));
                let json = said(&mut scene.lockctl(&format!("atlantis queues {asked} --json")));
                (table, serde_json::from_str::<Value>(&json).unwrap())
            })
    });
    let [all, repo, pull, project, none] = shown.await.unwrap();
    let expected = [
        ["acme/infra/dns/default/", "1", "9"],
        ["acme/infra/vpc/default/", "1", "8"],
        ["acme/infra/vpc/default/", "2", "9"],
    ];
    let rows = |table: &str| {
        let rows = table.lines().filter(|line| line.trim_start().starts_with("github.com"));
        let row =
            |line: &str| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ");
        rows.map(row).collect::<Vec<_>>()
    };
    let are = |rows: &[usize]| rows.iter().map(|&it| expected[it].join(" ")).collect::<Vec<_>>();
    for ((table, json), meant) in [
        (&all, &[0, 1, 2][..]),
        (&repo, &[0, 1, 2]),
        (&pull, &[0, 2]),
        (&project, &[1, 2]),
        (&none, &[]),
    ] {
        assert_eq!(rows(table), are(meant), "{table}");
        assert_eq!(table.matches(" 7 (user-7) ").count(), meant.len(), "{table}");
        let places = json["queues"].as_array().unwrap().iter().flat_map(|queue| {
            let of_queue = ["repo", "path", "workspace"].map(|it| queue[it].as_str().unwrap());
            let of_queue = format!("{}/", of_queue.join("/"));
            let places = queue["waiters"].as_array().unwrap().iter();
            places.map(move |it| format!("{of_queue} {} {}", it["place"], it["pull"]))
        });
        assert_eq!(places.collect::<Vec<_>>(), are(meant), "{json}");
        assert_eq!(json["statistics"]["waiting"], meant.len(), "{json}");
    }
    assert!(all.0.contains("2 held, 3 waiting for at most "), "{}", all.0);
    assert_eq!(none.0, "0 held, 0 waiting\n");
    assert_eq!(none.1["statistics"]["waited"], Value::Null);
    let holder = &project.1["queues"][0]["holder"];
    assert_eq!((&holder["pull"], &holder["author"]), (&7.into(), &"author-7".into()), "{holder}");
}

#[tokio::test]
async fn queues_of_pull_requests_are_shown() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("lockctl")).unwrap();
    let store = SqliteConfig::new(scene.path("lockctl/locks.db")).open().unwrap();
    let manager = LockManager::new(store.clone(), OwnerId::parse("atlantis").unwrap());
    let adapter = LockAdapter::new(manager, SqliteDocuments::new(store));
    assert_queues_are_shown(scene, adapter).await;
}

#[tokio::test]
async fn queues_of_pull_requests_in_redis_are_shown() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(RedisConfig::parse(&server.url()).unwrap()).await.unwrap();
    let config = lock_atlantis::ServerConfig::parse(&server.url()).unwrap();
    let documents = RedisDocuments::connect(config, "lockctl").await.unwrap();
    let manager = LockManager::new(store, OwnerId::parse("atlantis").unwrap());
    assert_queues_are_shown(Scene::at(server.url()), LockAdapter::new(manager, documents)).await;
}

/// Whoever holds or waits without being a pull request is named as it is.
#[test]
fn holder_that_is_no_pull_request_is_shown_by_its_name() {
    let scene = Scene::new();
    let key = "project:acme/infra:vpc:default::github.com";
    said(scene.lockctl("acquire --owner ops --ttl 1h").arg(key));
    let mut waiter = scene.lockctl("acquire --owner pull:github.com:acme/infra:7").arg(key).spawn();
    scene.shows(key, "WAITER");
    let shown = scene.lockctl("atlantis queues").output().unwrap();
    let (table, warning) = (shown.stdout, String::from_utf8(shown.stderr).unwrap());
    let table = String::from_utf8(table).unwrap();
    let row = table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(row.starts_with("github.com acme/infra/vpc/default/ 1 7 "), "{table}");
    assert!(row.contains(" ops "), "{table}");
    assert!(warning.contains("no project lock"), "{warning}");
    let waiter = waiter.as_mut().unwrap();
    waiter.kill().unwrap();
    waiter.wait().unwrap();
}

#[test]
fn help_says_what_there_is() {
    let scene = Scene::new();
    #[cfg(feature = "serve")]
    insta::assert_snapshot!("help", said(&mut scene.lockctl("--help")));
    insta::assert_snapshot!("help-run", said(&mut scene.lockctl("run --help")));
    let queues = said(&mut scene.lockctl("atlantis queues --help"));
    insta::assert_snapshot!("help-atlantis-queues", queues);
    assert!(said(&mut scene.lockctl("completions bash")).contains("lockctl"));
    assert!(said(&mut scene.lockctl("man")).contains("lockctl"));
}

#[test]
fn sentinels_and_clusters_are_stores_and_doctor_names_what_they_lack() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (set, cluster) =
        runtime.block_on(async { tokio::join!(SentinelSet::start(), RedisCluster::start()) });
    for url in [set.url(), cluster.url()] {
        let scene = Scene::at(url);
        assert_eq!(said(&mut scene.run("deploy", "echo done")), "done\n");
        let lease = said(&mut scene.lockctl("acquire deploy --json --ttl 1h"));
        assert!(lease.contains("token"), "{lease}");
        assert!(said(&mut scene.lockctl("ls")).contains("deploy"));
        let told = said(&mut scene.lockctl("doctor"));
        assert!(told.contains("no append-only file"), "{told}");
    }
    runtime.block_on(async {
        for sentinel in &set.sentinels()[1..] {
            sentinel.kill().await;
        }
        assert_eq!(set.sentinels()[0].command(&["SENTINEL", "RESET", "locks"]).await, "1");
    });
    let told = said(&mut Scene::at(set.url()).lockctl("doctor"));
    assert!(told.contains("1 sentinels: with 3"), "{told}");
}

#[test]
fn store_of_one_server_is_divided_into_a_cluster() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, cluster) =
        runtime.block_on(async { tokio::join!(RedisServer::start(), RedisCluster::start()) });
    let (old, new) = (Scene::at(server.url()), Scene::at(cluster.url()));
    for number in 0..20 {
        said(&mut old.lockctl(&format!("acquire key-{number} --ttl 1h")));
    }
    let told = said(&mut new.lockctl(&format!("divide --from {}", server.url())));
    assert_eq!(told, "20 locks are in 64 shards now\n");
    assert_eq!(said(&mut new.lockctl("ls")).matches("key-").count(), 20);
    assert_ne!(failed(&mut old.lockctl("ls")).0, 0, "the old store is not used by accident");
}
