//! `lockctl run`, as a shell calls it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::process::Stdio;

use common::{Scene, eventually, failed, is_alive, said, send};
use nix::sys::signal::Signal;

#[test]
fn command_runs_and_its_output_and_code_are_its_own() {
    let scene = Scene::new();
    let output = scene.run("deploy", "echo out; echo err >&2; exit 7").output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert!(scene.is_free("deploy"), "a job that fails leaves nothing locked");
}

#[test]
fn command_sees_its_lease() {
    let scene = Scene::new();
    let script = "echo $LOCK_KEY $LOCK_OWNER $LOCK_TOKEN $LOCK_EXPIRES_AT";
    let (first, second) = (
        said(&mut scene.run("shop/prod --owner alice", script)),
        said(&mut scene.run("shop/prod --owner alice", script)),
    );
    let token = |said: &str| {
        let words: Vec<_> = said.split_whitespace().collect();
        assert_eq!((words[0], words[1], words.len()), ("shop/prod", "alice", 4), "{said}");
        assert!(words[3].ends_with('Z'), "{said}");
        words[2].parse::<u64>().unwrap()
    };
    assert!(token(&first) < token(&second));
}

#[test]
fn two_shells_take_turns() {
    let scene = Scene::new();
    let mut first = scene.run("deploy", "echo > held; while [ ! -e go ]; do sleep 0.02; done");
    let mut first = first.spawn().unwrap();
    scene.file("held");
    let second = scene.run("deploy", "echo > second").stderr(Stdio::piped()).spawn().unwrap();
    scene.shows("deploy", "WAITER");
    assert!(!scene.path("second").exists());
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(first.wait().unwrap().success());
    let second = second.wait_with_output().unwrap();
    assert!(second.status.success());
    assert!(scene.path("second").exists());
}

#[test]
fn held_key_sets_the_exit_code() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy --owner alice", "echo > held; exec sleep 60");
    let mut holder = holder.spawn().unwrap();
    scene.file("held");
    let (code, said) = failed(&mut scene.run("deploy --wait 0", "echo > ran"));
    assert_eq!(code, 75);
    assert!(said.contains("held by `alice`"), "{said}");
    assert_eq!(failed(&mut scene.run("deploy --wait 200ms", "echo > ran")).0, 75);
    assert_eq!(failed(&mut scene.run("deploy --wait 0 -E 9", "echo > ran")).0, 9);
    assert_eq!(failed(&mut scene.run("deploy --if-held skip", "echo > ran")).0, 0);
    assert!(!scene.path("ran").exists());
    send(holder.id(), Signal::SIGTERM);
    assert_eq!(holder.wait().unwrap().code(), Some(128 + 15));
    assert!(scene.is_free("deploy"));
}

#[test]
fn shared_holders_are_together_and_an_exclusive_one_is_alone() {
    let scene = Scene::new();
    let script = "echo > $LOCK_OWNER; while [ ! -e go ]; do sleep 0.02; done";
    let mut readers: Vec<_> = ["alice", "bob"]
        .map(|owner| scene.run(&format!("report --shared --owner {owner}"), script))
        .map(|mut command| command.spawn().unwrap())
        .into();
    scene.file("alice");
    scene.file("bob");
    assert_eq!(failed(&mut scene.run("report --wait 0", "true")).0, 75);
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(readers.iter_mut().all(|reader| reader.wait().unwrap().success()));
    assert!(scene.run("report --wait 0", "true").status().unwrap().success());
}

#[test]
fn signals_reach_the_command() {
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGUSR1, "USR1"),
    ] {
        let scene = Scene::new();
        let script = format!(
            "trap 'echo {name} > got; exit 3' {name}; echo > held; while :; do sleep 0.02; done"
        );
        let mut holder = scene.run("deploy", &script).spawn().unwrap();
        scene.file("held");
        send(holder.id(), signal);
        assert_eq!(holder.wait().unwrap().code(), Some(3), "{name}");
        assert_eq!(scene.file("got"), name);
        assert!(scene.is_free("deploy"), "{name}");
    }
}

#[test]
fn waiter_that_is_interrupted_gives_its_place_back() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy", "echo > held; exec sleep 60").spawn().unwrap();
    scene.file("held");
    let mut waiter = scene.run("deploy", "echo > ran").stderr(Stdio::null()).spawn().unwrap();
    scene.shows("deploy", "WAITER");
    send(waiter.id(), Signal::SIGINT);
    assert_eq!(waiter.wait().unwrap().code(), Some(128 + 2));
    assert!(!said(scene.lockctl("show").arg("deploy")).contains("WAITER"));
    send(holder.id(), Signal::SIGTERM);
    holder.wait().unwrap();
    assert!(!scene.path("ran").exists());
}

#[test]
fn command_ends_with_a_holder_that_is_killed() {
    let scene = Scene::new();
    let mut holder = scene
        .run("deploy --ttl 2s", "echo $$ > pid; while :; do sleep 0.02; done")
        .spawn()
        .unwrap();
    let command = scene.file("pid");
    send(holder.id(), Signal::SIGKILL);
    holder.wait().unwrap();
    eventually("the command has ended", || !is_alive(&command));
    // The lease was never given back: it ends by itself.
    assert!(scene.run("deploy --wait 10s", "true").status().unwrap().success());
}

/// A command that ignores what it is asked for cannot outlive the lease either.
#[test]
fn command_of_a_stopped_holder_ends_before_the_next_begins() {
    let scene = Scene::new();
    let script = "trap '' TERM; echo $$ > pid; while :; do date +%s%N > last; sleep 0.01; done";
    let mut holder = scene.run("deploy --ttl 2s --grace 1s", script).spawn().unwrap();
    let command = scene.file("pid");
    send(holder.id(), Signal::SIGSTOP);
    let next = said(&mut scene.run("deploy --wait 20s", "date +%s%N"));
    assert!(!is_alive(&command), "two run at once");
    let last = std::fs::read_to_string(scene.path("last")).unwrap();
    assert!(last.trim() < next.trim(), "the last of one is {last}, the first of the next {next}");
    send(holder.id(), Signal::SIGCONT);
    assert_eq!(holder.wait().unwrap().code(), Some(79));
}

/// With both stopped, nothing ends the command: its token distinguishes it from the next.
#[test]
fn token_is_the_last_defence() {
    let scene = Scene::new();
    let mut holder =
        scene.run("deploy --ttl 1s", "echo $LOCK_TOKEN > first; exec sleep 60").spawn().unwrap();
    let first: u64 = scene.file("first").parse().unwrap();
    let guardian = children(holder.id()).into_iter().find(|it| it.1.contains("__guardian"));
    let guardian = guardian.unwrap().0;
    send(holder.id(), Signal::SIGSTOP);
    send(guardian, Signal::SIGSTOP);
    let second = said(&mut scene.run("deploy --wait 20s", "echo $LOCK_TOKEN"));
    assert!(first < second.trim().parse().unwrap());
    for pid in [guardian, holder.id()] {
        send(pid, Signal::SIGCONT);
    }
    assert_eq!(holder.wait().unwrap().code(), Some(79));
}

/// The processes that a process has started, with their command lines.
fn children(of: u32) -> Vec<(u32, String)> {
    let path = format!("/proc/{of}/task/{of}/children");
    let children = std::fs::read_to_string(path).unwrap();
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    children
        .map(|pid: u32| (pid, std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap()))
        .collect()
}

#[test]
fn evicted_command_is_asked_to_end_and_then_killed() {
    let scene = Scene::new();
    let script = "trap 'echo > asked' TERM; echo > held; while :; do sleep 0.02; done";
    let holder = scene.run("deploy --grace 300ms", script).stderr(Stdio::piped()).spawn().unwrap();
    scene.file("held");
    let broken = said(scene.lockctl("break deploy --reason").arg("a new build"));
    assert!(broken.starts_with("ended the lease of "), "{broken}");
    let ended = holder.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(79));
    assert!(scene.path("asked").exists());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("a new build"), "{said}");
}

#[test]
fn command_that_cannot_run_leaves_nothing_locked() {
    let scene = Scene::new();
    let (code, said) = failed(scene.lockctl("run deploy --").arg("no-such-program"));
    assert_eq!(code, 127);
    assert!(said.contains("no-such-program"), "{said}");
    std::fs::write(scene.path("text"), "").unwrap();
    assert_eq!(failed(scene.lockctl("run deploy -- ./text").current_dir(scene.path("."))).0, 126);
    assert!(scene.is_free("deploy"));
}

/// The guardian knows of the command before it starts.
#[test]
fn command_that_kills_its_parent_at_once_ends_with_it() {
    for signal in ["KILL", "STOP"] {
        let scene = Scene::new();
        let script = format!("echo $$ > pid; kill -{signal} $PPID; exec sleep 60");
        let mut holder = scene.run("deploy --ttl 1s --grace 0s", &script).spawn().unwrap();
        let command = scene.file("pid");
        eventually("the command has ended", || !is_alive(&command));
        send(holder.id(), Signal::SIGCONT);
        holder.wait().unwrap();
    }
}

#[test]
fn stopped_guardian_blocks_no_waiter() {
    let scene = Scene::new();
    let script = "echo > held; while [ ! -e go ]; do sleep 0.02; done";
    let mut holder = scene.run("deploy", script).spawn().unwrap();
    scene.file("held");
    let guardian = children(holder.id()).into_iter().find(|it| it.1.contains("__guardian"));
    let guardian = guardian.unwrap().0;
    send(guardian, Signal::SIGSTOP);
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(holder.wait().unwrap().success());
    assert!(scene.is_free("deploy") && !is_alive(&guardian.to_string()));
}

#[test]
fn signal_that_is_ignored_stays_so() {
    let scene = Scene::new();
    let program = env!("CARGO_BIN_EXE_lockctl");
    let script = format!(
        "trap '' HUP; exec {program} run deploy -- sh -c \
         'echo > held; while [ ! -e go ]; do sleep 0.02; done'"
    );
    let mut holder = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(scene.path("."))
        .env_remove("LOCKCTL_URL")
        .env("XDG_STATE_HOME", scene.path("."))
        .spawn()
        .unwrap();
    scene.file("held");
    send(holder.id(), Signal::SIGHUP);
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(holder.wait().unwrap().success());
}

/// Nobody reads what a waiter says, and it takes its turn all the same.
#[test]
fn waiter_whose_errors_are_not_read_takes_its_turn() {
    let scene = Scene::new();
    let script = "echo > held; while [ ! -e go ]; do sleep 0.02; done";
    let mut holder = scene.run("deploy", script).spawn().unwrap();
    scene.file("held");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut waiter = scene.run("deploy", "echo > ran").stderr(full).spawn().unwrap();
    // The first line is due after 300 ms.
    let waits = || {
        let shown = said(scene.lockctl("show deploy --json").stdout(Stdio::piped()));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["waiters"]["items"][0]["enqueued_at"].as_u64()
    };
    eventually("somebody waits", || waits().is_some());
    let since = waits().unwrap();
    let now = || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        now.as_micros() as u64
    };
    eventually("a line is due", || now() > since + 600_000);
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(holder.wait().unwrap().success() && waiter.wait().unwrap().success());
    assert!(scene.path("ran").exists());
}
