//! `lockctl` with a person before it: jobs of a shell in a terminal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::time::Duration;

use common::{Scene, elapse, is_alive, now, send};
use nix::sys::signal::Signal;
use rexpect::session::PtyReplSession;

/// The longest that anything may take, in milliseconds.
const PATIENCE: u64 = 20_000;

/// A shell in which `lockctl` is known.
fn shell(scene: &Scene) -> PtyReplSession {
    let mut shell = rexpect::spawn_bash(Some(PATIENCE)).unwrap();
    let folder = scene.path(".");
    for line in [
        format!("cd {}", folder.display()),
        format!("export XDG_STATE_HOME={}", folder.display()),
        format!("export LOCKCTL={}", env!("CARGO_BIN_EXE_lockctl")),
    ] {
        shell.send_line(&line).unwrap();
        shell.wait_for_prompt().unwrap();
    }
    shell
}

/// Ends the shell, which ignores being asked by a signal.
fn leave(mut shell: PtyReplSession) {
    shell.send_line("exit").unwrap();
    shell.exp_eof().unwrap();
}

#[test]
fn interrupt_ends_the_command_and_sets_the_exit_code() {
    let scene = Scene::new();
    let mut shell = shell(&scene);
    shell.send_line("$LOCKCTL run deploy -- sh -c 'echo be''gun; exec sleep 60'").unwrap();
    shell.exp_string("begun").unwrap();
    shell.send_control('c').unwrap();
    shell.wait_for_prompt().unwrap();
    shell.send_line("echo code=$?").unwrap();
    shell.exp_string("code=130").unwrap();
    shell.wait_for_prompt().unwrap();
    assert!(scene.is_free("deploy"));
    leave(shell);
}

/// Interrupts a script, which then does not go on.
fn is_interrupted(shell: &mut PtyReplSession, line: &str, begun: &str) {
    shell.send_line(line).unwrap();
    shell.exp_string(begun).unwrap();
    shell.send_control('c').unwrap();
    let printed = shell.wait_for_prompt().unwrap();
    assert!(!printed.contains("after"), "{line}: {printed}");
    shell.send_line("echo code=$?").unwrap();
    shell.exp_string("code=130").unwrap();
    shell.wait_for_prompt().unwrap();
}

#[test]
fn interrupt_ends_the_script_that_runs_it() {
    let scene = Scene::new();
    let script = "$LOCKCTL run deploy -- sh -c 'echo begun; exec sleep 60'; echo after";
    std::fs::write(scene.path("script"), script).unwrap();
    let mut shell = shell(&scene);
    for line in ["sh script", "bash script", "sh script | cat"] {
        is_interrupted(&mut shell, line, "begun");
        assert!(scene.is_free("deploy"), "{line}");
    }
    leave(shell);
}

#[test]
fn interrupt_ends_the_script_whose_run_waits() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy --owner alice", "echo > held; exec sleep 60");
    let mut holder = holder.spawn().unwrap();
    scene.file("held");
    std::fs::write(scene.path("script"), "$LOCKCTL run deploy -- true; echo after").unwrap();
    let mut shell = shell(&scene);
    for line in ["sh script", "bash script"] {
        is_interrupted(&mut shell, line, "held by alice");
    }
    send(holder.id(), Signal::SIGTERM);
    holder.wait().unwrap();
    leave(shell);
}

#[test]
fn command_reads_from_the_terminal() {
    let scene = Scene::new();
    let mut shell = shell(&scene);
    shell.send_line("$LOCKCTL run deploy -- sh -c 'echo ask''ed; read a; echo got-$a'").unwrap();
    shell.exp_string("asked").unwrap();
    shell.send_line("yes").unwrap();
    shell.exp_string("got-yes").unwrap();
    shell.wait_for_prompt().unwrap();
    leave(shell);
}

#[test]
fn job_stops_and_goes_on_with_its_lock() {
    let scene = Scene::new();
    let mut shell = shell(&scene);
    let script = "echo $$ > pid; echo be''gun; read a; echo got-$a";
    shell.send_line(&format!("$LOCKCTL run deploy -- sh -c '{script}'")).unwrap();
    shell.exp_string("begun").unwrap();
    let command = scene.file("pid");
    shell.send_control('z').unwrap();
    shell.exp_string("Stopped").unwrap();
    shell.wait_for_prompt().unwrap();
    assert!(is_alive(&command) && !scene.is_free("deploy"));
    shell.send_line("fg").unwrap();
    shell.send_line("again").unwrap();
    shell.exp_string("got-again").unwrap();
    shell.wait_for_prompt().unwrap();
    assert!(scene.is_free("deploy"));
    leave(shell);
}

/// The guardian has ended what was stopped, before another may begin.
#[test]
fn job_that_was_stopped_for_too_long_does_not_go_on() {
    let scene = Scene::new();
    let mut shell = shell(&scene);
    let script = "echo $$ > pid; echo be''gun; read a; echo > went-on";
    shell.send_line(&format!("$LOCKCTL run deploy --ttl 1s -- sh -c '{script}'")).unwrap();
    shell.exp_string("begun").unwrap();
    let command = scene.file("pid");
    shell.send_control('z').unwrap();
    shell.exp_string("Stopped").unwrap();
    shell.wait_for_prompt().unwrap();
    let next = scene.run("deploy --wait 20s", "true").status().unwrap();
    assert!(next.success() && !is_alive(&command));
    shell.send_line("fg; echo code=$?").unwrap();
    shell.exp_string("code=79").unwrap();
    assert!(!scene.path("went-on").exists());
    leave(shell);
}

/// Some terminals do not know their size.
#[test]
fn table_is_readable_on_a_terminal_without_columns() {
    let scene = Scene::new();
    common::said(&mut scene.lockctl("acquire shop/production --owner alice --ttl 1h"));
    let mut shell = shell(&scene);
    for columns in [0, 1, 20] {
        shell.send_line(&format!("stty cols {columns}; $LOCKCTL ls")).unwrap();
        let printed = shell.wait_for_prompt().unwrap();
        assert!(printed.contains("shop/production  alice  exclusive"), "{columns}: {printed}");
    }
    leave(shell);
}

/// A store that does not answer keeps nobody who wants to leave.
#[test]
fn interrupt_ends_a_waiter_of_a_store_that_stalls() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy", "echo > held; exec sleep 60").spawn().unwrap();
    scene.file("held");
    let mut shell = shell(&scene);
    shell.send_line("$LOCKCTL run deploy -- true").unwrap();
    shell.exp_string("waiting for deploy").unwrap();
    let stalled = scene.stall();
    // The line is shown anew each second.
    elapse(Duration::from_millis(1500));
    let start = now();
    shell.send_control('c').unwrap();
    shell.wait_for_prompt().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(stalled);
    send(holder.id(), Signal::SIGTERM);
    holder.wait().unwrap();
    leave(shell);
}

/// A waiter for a file that is gone says so.
#[test]
fn waiter_sees_that_the_file_was_deleted() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy", "echo > held; exec sleep 60").spawn().unwrap();
    scene.file("held");
    let mut shell = shell(&scene);
    shell.send_line("$LOCKCTL run deploy -- true").unwrap();
    shell.exp_string("waiting for deploy").unwrap();
    std::fs::remove_file(scene.path("lockctl/locks.db")).unwrap();
    shell.exp_string("was deleted or replaced while in use").unwrap();
    shell.send_control('c').unwrap();
    shell.wait_for_prompt().unwrap();
    // There is nothing to give the lease back to, which would take its time.
    send(holder.id(), Signal::SIGKILL);
    holder.wait().unwrap();
    leave(shell);
}

#[test]
fn waiter_sees_the_holder() {
    let scene = Scene::new();
    let mut holder = scene.run("deploy --owner alice", "echo > held; exec sleep 60");
    let mut holder = holder.spawn().unwrap();
    scene.file("held");
    let mut shell = shell(&scene);
    shell.send_line("$LOCKCTL run deploy -- echo do''ne").unwrap();
    shell.exp_string("waiting for deploy, place 1 of 1; held by alice").unwrap();
    send(holder.id(), Signal::SIGTERM);
    shell.exp_string("done").unwrap();
    holder.wait().unwrap();
    leave(shell);
}
