//! Processes added to a running container.

use berth_guard::{CONTAINER, FailureKind, FromGuard, State, ToGuard};

use crate::bundle::{Bundle, need_root};
use crate::client::Guard;

fn idle() -> Guard {
    let mut guard = Guard::start(&Bundle::sh("echo up; while :; do sleep 100; done"));
    guard.await_output(CONTAINER, "up");
    guard
}

#[test]
fn an_exec_runs_inside() {
    if !need_root() {
        return;
    }
    let mut guard = idle();
    guard.exec(1, &["sh", "-c", "cat /proc/1/comm; busybox hostname; cat; exit 9"], false, true);
    guard.stdin(1, "from outside\n");
    guard.say(&ToGuard::CloseStdin { process: 1 });
    let exit = guard.await_exit(1);
    assert_eq!((exit.code, guard.output_of(1).as_str()), (9, "sh\nberth-test\nfrom outside\n"));
}

#[test]
fn an_exec_has_a_terminal_of_the_container() {
    if !need_root() {
        return;
    }
    let mut guard = idle();
    guard.exec(1, &["tty"], true, true);
    assert_eq!(guard.await_exit(1).code, 0);
    assert_eq!(guard.output_of(1), "/dev/pts/0\r\n");
}

#[test]
fn an_exec_that_cannot_start_says_why() {
    if !need_root() {
        return;
    }
    let mut guard = idle();
    guard.exec(1, &["nope"], false, false);
    let failed = guard.hear_until(|message| matches!(message, FromGuard::ExecFailed { .. }));
    let message = "exec: \"nope\": executable file not found in $PATH".to_owned();
    assert_eq!(failed, FromGuard::ExecFailed { process: 1, kind: FailureKind::NotFound, message });
}

#[test]
fn a_new_engine_hears_of_execs_that_ended() {
    if !need_root() {
        return;
    }
    let mut guard = idle();
    guard.exec(5, &["sh", "-c", "exit 6"], false, false);
    guard.await_exit(5);
    guard.reconnect();
    let FromGuard::Hello { state: State::Running { .. }, execs, .. } = guard.hear() else { panic!() };
    assert_eq!(execs[0].exit.unwrap().code, 6);
    guard.say(&ToGuard::Ack { process: 5 });
    guard.exec(5, &["true"], false, false);
    assert_eq!(guard.await_exit(5).code, 0);
}

#[test]
fn execs_end_with_the_container() {
    if !need_root() {
        return;
    }
    let mut guard = idle();
    guard.exec(1, &["sleep", "100"], false, false);
    guard.hear_until(|message| matches!(message, FromGuard::ExecStarted { .. }));
    guard.say(&ToGuard::Signal { process: CONTAINER, signal: 9 });
    assert_eq!(guard.await_exit(1).code, 137);
    assert_eq!(guard.await_exit(CONTAINER).code, 137);
    guard.finish();
}
