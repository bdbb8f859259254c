//! `lockctl run`, as a shell calls it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use common::{Scene, children, eventually, failed, guardian, is_alive, now, said, send};
use lock_testkit_redis::server::RedisServer;
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
    assert_eq!(holder.wait().unwrap().signal(), Some(15));
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
    assert_eq!(waiter.wait().unwrap().signal(), Some(2));
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
    let guardian = guardian(holder.id()).unwrap().to_string();
    send(holder.id(), Signal::SIGKILL);
    holder.wait().unwrap();
    eventually("the command has ended", || !is_alive(&command));
    eventually("nothing is left", || !is_alive(&guardian));
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
    let guardian = guardian(holder.id()).unwrap();
    send(holder.id(), Signal::SIGSTOP);
    send(guardian, Signal::SIGSTOP);
    let second = said(&mut scene.run("deploy --wait 20s", "echo $LOCK_TOKEN"));
    assert!(first < second.trim().parse().unwrap());
    for pid in [guardian, holder.id()] {
        send(pid, Signal::SIGCONT);
    }
    assert_eq!(holder.wait().unwrap().code(), Some(79));
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
    let guardian = guardian(holder.id()).unwrap();
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

/// A caller tells an interruption from an exit code by the way of the end.
#[test]
fn end_by_a_signal_is_passed_through() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGKILL] {
        let scene = Scene::new();
        let mut holder = scene.run("deploy", "echo $$ > pid; exec sleep 60").spawn().unwrap();
        let command = scene.file("pid").parse().unwrap();
        let to = if signal == Signal::SIGKILL { command } else { holder.id() };
        send(to, signal);
        assert_eq!(holder.wait().unwrap().signal(), Some(signal as i32), "{signal}");
        assert!(scene.is_free("deploy"), "{signal}");
    }
    let scene = Scene::new();
    // As a shell sees it; the second is one of those for real-time programs.
    for signal in [15, 34] {
        let program = env!("CARGO_BIN_EXE_lockctl");
        let script = format!("{program} run deploy -- sh -c 'kill -{signal} $$'; echo $?");
        assert_eq!(said(&mut scene.shell(&script)), format!("{}\n", 128 + signal));
    }
}

/// The inner command is guarded by its own lease alone, and must end with the outer one all the same.
#[test]
fn nested_command_ends_with_the_outer_lease() {
    let scene = Scene::new();
    let inner = "trap '' TERM; echo $$ > pid; while :; do date +%s%N > last; sleep 0.01; done";
    let mut outer = nested(&scene, "outer --ttl 2s --grace 500ms", inner).spawn().unwrap();
    let command = scene.file("pid");
    send(outer.id(), Signal::SIGSTOP);
    let next = said(&mut scene.run("outer --wait 20s", "date +%s%N"));
    assert!(!is_alive(&command), "two run at once");
    let last = std::fs::read_to_string(scene.path("last")).unwrap();
    assert!(last.trim() < next.trim(), "the last of one is {last}, the first of the next {next}");
    send(outer.id(), Signal::SIGCONT);
    assert_eq!(outer.wait().unwrap().code(), Some(79));
}

/// A run in which another runs a script.
fn nested(scene: &Scene, options: &str, script: &str) -> std::process::Command {
    let mut command = scene.lockctl(&format!("run {options} --"));
    command.arg(env!("CARGO_BIN_EXE_lockctl")).args(["run", "inner", "--grace", "1s"]);
    command.args(["--", "sh", "-c", script]);
    command
}

#[test]
fn nested_command_is_asked_once_to_end() {
    let scene = Scene::new();
    let inner = "trap 'echo >> asked' TERM; echo > held; while [ ! -e asked ]; do sleep 0.02; done";
    let mut outer = nested(&scene, "outer", inner).spawn().unwrap();
    scene.file("held");
    said(&mut scene.lockctl("break outer --reason test"));
    assert_eq!(outer.wait().unwrap().code(), Some(79));
    assert_eq!(std::fs::read_to_string(scene.path("asked")).unwrap(), "\n");
    assert!(scene.is_free("inner"));
}

#[test]
fn several_keys_are_held_together_or_not_at_all() {
    let scene = Scene::new();
    let mut holder = scene.run("b", "echo > held; while [ ! -e go ]; do sleep 0.02; done");
    let mut holder = holder.spawn().unwrap();
    scene.file("held");
    let script = "printf '%s\n' \"$LOCK_KEY\" > keys; echo \"$LOCK_TOKEN\" | wc -l > tokens";
    let waiting = scene.run("c b a --owner alice", script).stderr(Stdio::piped()).spawn().unwrap();
    scene.shows("b", "WAITER");
    assert!(scene.is_free("a") && scene.is_free("c"));
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(holder.wait().unwrap().success());
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!((scene.file("keys").as_str(), scene.file("tokens").as_str()), ("a\nb\nc", "3"));
    assert!(["a", "b", "c"].iter().all(|key| scene.is_free(key)));
    let (code, said) = failed(&mut scene.run("a a", "true"));
    assert_eq!(code, 64, "{said}");
}

/// Two lines of work, each a process that waits for what the other holds.
fn deadlock(scene: &Scene) {
    let program = env!("CARGO_BIN_EXE_lockctl");
    let line = |name: &str, own: &str, other: &str| {
        let script = format!(
            "echo > {own}; while [ ! -e {other} ]; do sleep 0.02; done; \
             {program} run {other} --owner {name} --session $LOCK_SESSION -- true"
        );
        let mut command = scene.run(&format!("{own} --owner {name}"), &script);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let lines = [line("alice", "a", "b"), line("bob", "b", "a")];
    let ended = lines.map(|line| line.wait_with_output().unwrap());
    let codes = ended.each_ref().map(|ended| ended.status.code().unwrap());
    let said = ended.map(|ended| String::from_utf8(ended.stderr).unwrap()).concat();
    assert!(codes == [0, 75] || codes == [75, 0], "{codes:?} {said}");
    assert!(said.contains("deadlock"), "{said}");
    assert!(said.contains("`alice` waits for `b`, held by `bob`"), "{said}");
    assert!(said.contains("`bob` waits for `a`, held by `alice`"), "{said}");
}

#[test]
fn deadlock_of_two_processes_ends_one_of_them() {
    deadlock(&Scene::new());
}

#[tokio::test]
async fn deadlock_of_two_processes_on_redis_ends_one_of_them() {
    let server = RedisServer::start().await;
    let scene = Scene::at(server.url());
    tokio::task::spawn_blocking(move || deadlock(&scene)).await.unwrap();
}

/// It would wait for ever.
#[test]
fn nested_run_of_the_same_key_is_refused() {
    let scene = Scene::new();
    let mut outer = scene.lockctl("run deploy --");
    outer.arg(env!("CARGO_BIN_EXE_lockctl")).args(["run", "deploy", "--wait", "20s", "--", "true"]);
    let (code, said) = failed(&mut outer);
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("held by a run around this one"), "{said}");
    assert!(scene.is_free("deploy"));
}

/// The outer lock is not given back while a nested command runs that nobody waits for.
#[test]
fn nested_command_whose_lockctl_is_killed_keeps_the_outer_lock_until_it_has_ended() {
    let scene = Scene::new();
    let inner = "trap '' TERM; echo $PPID > run; echo $$ > pid; while :; do sleep 0.02; done";
    let mut outer = nested(&scene, "outer", inner).spawn().unwrap();
    let (run, command) = (scene.file("run"), scene.file("pid"));
    let outer_is_free = || !said(&mut scene.lockctl("ls")).contains("outer");
    send(run.parse().unwrap(), Signal::SIGKILL);
    eventually("the outer lock is free", || {
        let is_free = outer_is_free();
        assert!(!is_free || !is_alive(&command), "two run at once");
        is_free
    });
    assert_eq!(outer.wait().unwrap().signal(), Some(9));
}

/// The first process dies at once, and one that cleans up keeps the lock.
#[test]
fn what_a_signal_leaves_of_the_command_keeps_the_lock_until_it_has_ended() {
    let scene = Scene::new();
    let script = "(trap '' INT; echo > held; while [ ! -e go ]; do sleep 0.02; done; echo > clean) & \
                  wait";
    let mut holder = scene.run("deploy", script).stderr(Stdio::piped()).spawn().unwrap();
    scene.file("held");
    let first = children(holder.id()).into_iter().find(|it| it.1.contains("clean")).unwrap().0;
    send(first, Signal::SIGKILL);
    eventually("the first has ended", || !is_alive(&first.to_string()));
    assert!(!scene.is_free("deploy"));
    std::fs::write(scene.path("go"), "").unwrap();
    assert_eq!(holder.wait().unwrap().signal(), Some(9));
    assert!(scene.path("clean").exists() && scene.is_free("deploy"));
}

/// Who asks twice does not wait for it.
#[test]
fn second_signal_kills_what_the_first_has_left() {
    let scene = Scene::new();
    let script = "(trap '' TERM; echo > held; while :; do sleep 0.02; done) & wait";
    let mut holder = scene.run("deploy", script);
    let said = std::fs::File::create(scene.path("said")).unwrap();
    let mut holder = holder.stderr(said).spawn().unwrap();
    scene.file("held");
    send(holder.id(), Signal::SIGTERM);
    assert!(scene.file("said").contains("the lock is held until then"));
    assert!(!scene.is_free("deploy"));
    send(holder.id(), Signal::SIGTERM);
    assert_eq!(holder.wait().unwrap().signal(), Some(15));
    assert!(scene.is_free("deploy"));
}

/// A session of its own hides nothing: two that the command starts end with the lease, one of them
/// without a parent.
#[test]
fn processes_in_another_session_end_with_the_lease() {
    let scene = Scene::new();
    let script = "setsid sh -c 'trap \"\" TERM; echo $$ > one; while :; do sleep 0.02; done' &
                  (setsid sh -c 'echo $$ > two; exec sleep 60' &)
                  env -u LOCKCTL_RUN setsid sh -c 'echo $$ > three; exec sleep 60' &
                  echo > held; wait";
    let mut holder = scene.run("deploy --ttl 2s --grace 500ms", script).spawn().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| scene.file(name));
    send(holder.id(), Signal::SIGKILL);
    holder.wait().unwrap();
    assert!(scene.run("deploy --wait 20s", "true").status().unwrap().success());
    assert!(!is_alive(&one) && !is_alive(&two), "two run at once");
    assert!(is_alive(&three), "it has left the run");
    send(three.parse().unwrap(), Signal::SIGKILL);
}

/// What a command leaves running in a session of its own is a daemon, which is not waited for.
#[test]
fn daemon_of_a_command_that_ends_by_itself_goes_on() {
    let scene = Scene::new();
    let script = "(setsid sh -c 'echo $$ > daemon; exec sleep 60' > /dev/null 2>&1 &); \
                  while [ ! -s daemon ]; do sleep 0.02; done";
    assert!(scene.run("deploy", script).status().unwrap().success());
    let daemon = scene.file("daemon");
    assert!(scene.is_free("deploy") && is_alive(&daemon));
    send(daemon.parse().unwrap(), Signal::SIGKILL);
}

#[test]
fn guardian_that_was_killed_is_replaced() {
    let scene = Scene::new();
    let script = "trap '' TERM; echo $$ > pid; while :; do sleep 0.02; done";
    let mut holder = scene.run("deploy --ttl 2s --grace 500ms", script);
    let mut holder =
        holder.stderr(std::fs::File::create(scene.path("said")).unwrap()).spawn().unwrap();
    let command = scene.file("pid");
    let first = guardian(holder.id()).unwrap();
    send(first, Signal::SIGKILL);
    eventually("another guards", || guardian(holder.id()).is_some_and(|it| it != first));
    assert!(scene.file("said").contains("guardian"));
    send(holder.id(), Signal::SIGKILL);
    holder.wait().unwrap();
    assert!(scene.run("deploy --wait 20s", "true").status().unwrap().success());
    assert!(!is_alive(&command), "two run at once");
}

#[test]
fn holder_of_a_file_that_was_deleted_says_so() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy --ttl 2s --grace 500ms", "echo > held; exec sleep 60");
    let holder = holder.stderr(Stdio::piped()).spawn().unwrap();
    scene.file("held");
    std::fs::remove_file(scene.path("lockctl/locks.db")).unwrap();
    let ended = holder.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(79));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("was deleted or replaced while in use"), "{said}");
}

/// The place in the queue ends by itself.
#[test]
fn waiter_of_a_store_that_stalls_ends_when_it_is_asked() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy", "echo > held; exec sleep 60").spawn().unwrap();
    scene.file("held");
    let mut waiter = scene.run("deploy", "true").stderr(Stdio::null()).spawn().unwrap();
    scene.shows("deploy", "WAITER");
    let stalled = scene.stall();
    let start = now();
    send(waiter.id(), Signal::SIGTERM);
    assert_eq!(waiter.wait().unwrap().signal(), Some(15));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(stalled);
    send(holder.id(), Signal::SIGTERM);
    holder.wait().unwrap();
}

/// The command has ended, and its code is told although the lease cannot be given back.
#[test]
fn holder_of_a_store_that_stalls_ends_when_it_is_asked() {
    let scene = Scene::new();
    let script = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; exit 3";
    let mut holder = scene.run("deploy", script).stderr(Stdio::null()).spawn().unwrap();
    let command = scene.file("pid");
    let stalled = scene.stall();
    std::fs::write(scene.path("go"), "").unwrap();
    eventually("the command has ended", || !is_alive(&command));
    let start = now();
    send(holder.id(), Signal::SIGTERM);
    assert_eq!(holder.wait().unwrap().code(), Some(3));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    drop(stalled);
}

/// A command that ends well when it is asked to has not done its work.
#[test]
fn command_that_the_guardian_ended_is_no_success() {
    let scene = Scene::new();
    let script = "trap 'exit 0' TERM; echo $$ > pid; while :; do sleep 0.02; done";
    let mut holder = scene.run("deploy --ttl 2s --grace 1s", script);
    let mut holder = holder.stderr(Stdio::null()).spawn().unwrap();
    let command = scene.file("pid");
    send(holder.id(), Signal::SIGSTOP);
    eventually("the command has ended", || !is_alive(&command));
    send(holder.id(), Signal::SIGCONT);
    assert_eq!(holder.wait().unwrap().code(), Some(79));
}

/// Without a shell that continues jobs, a command that stops itself goes on.
#[test]
fn command_that_stops_with_nobody_to_continue_it_goes_on() {
    let scene = Scene::new();
    let program = env!("CARGO_BIN_EXE_lockctl");
    let mut holder = scene.command("setsid");
    holder.args(["--wait", program, "run", "deploy", "--", "sh", "-c", "kill -TSTP $$; echo > on"]);
    assert!(holder.status().unwrap().success());
    assert!(scene.path("on").exists());
}

/// An upgrade of the program does not concern those that run.
#[test]
fn waiter_whose_program_was_replaced_takes_its_turn() {
    let scene = Scene::new();
    std::fs::copy(env!("CARGO_BIN_EXE_lockctl"), scene.path("program")).unwrap();
    let script = "echo > held; while [ ! -e go ]; do sleep 0.02; done";
    let mut holder = scene.run("deploy", script).spawn().unwrap();
    scene.file("held");
    let mut waiter = scene.command(scene.path("program"));
    waiter.args(["run", "deploy", "--", "sh", "-c", "echo > ran"]).stderr(Stdio::null());
    let mut waiter = waiter.spawn().unwrap();
    scene.shows("deploy", "WAITER");
    std::fs::write(scene.path("new"), "no program").unwrap();
    std::fs::rename(scene.path("new"), scene.path("program")).unwrap();
    std::fs::write(scene.path("go"), "").unwrap();
    assert!(holder.wait().unwrap().success() && waiter.wait().unwrap().success());
    assert!(scene.path("ran").exists());
}

/// Each holder ends when all others wait, so the order is that of their asking.
#[test]
fn few_contenders_take_turns_in_their_order() {
    for contenders in [2, 3] {
        let scene = Scene::new();
        let rounds = 4;
        let program = env!("CARGO_BIN_EXE_lockctl");
        // The first turn begins when all are there, and the last ones wait for nobody.
        let turn = format!(
            "echo $LOCK_OWNER $(date +%s%N) >> turns; \
             while [ ! -e last ] && [ $({program} show deploy --json \
             | grep -o enqueued_at | wc -l) -lt {} ]; do :; done; \
             [ $(wc -l < turns) -lt {} ] || touch last; \
             echo end $(date +%s%N) >> turns",
            contenders - 1,
            (contenders * (rounds - 1)) * 2 + 1,
        );
        let script = |name: usize| {
            format!(
                "for i in $(seq {rounds}); do \
                 {program} run deploy --owner {name} -- sh -c '{turn}' || exit 1; done"
            )
        };
        let shells: Vec<_> =
            (0..contenders).map(|it| scene.shell(&script(it)).spawn().unwrap()).collect();
        for mut shell in shells {
            assert!(shell.wait().unwrap().success());
        }
        let turns = std::fs::read_to_string(scene.path("turns")).unwrap();
        let turns: Vec<(&str, u64)> = turns
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(who, at)| (who, at.parse().unwrap()))
            .collect();
        let owners: Vec<_> = turns.iter().step_by(2).map(|turn| turn.0).collect();
        assert_eq!(owners.len(), contenders * rounds);
        for (at, owner) in owners.iter().enumerate().skip(contenders) {
            assert_eq!(*owner, owners[at - contenders], "{owners:?}");
        }
        for pair in turns[1..].chunks_exact(2) {
            let pause = Duration::from_nanos(pair[1].1 - pair[0].1);
            assert!(pause < Duration::from_secs(2), "{contenders}: {pause:?} after {pair:?}");
        }
    }
}
