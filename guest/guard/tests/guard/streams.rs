//! Standard streams and terminals.

use berth_guard::{CONTAINER, FromGuard, StdinMode, ToGuard, WindowSize};

use crate::bundle::{Bundle, need_root};
use crate::client::Guard;

fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::sh(script);
    bundle.spec["process"]["terminal"] = true.into();
    bundle.launch.terminal = true;
    bundle.launch.size = Some(WindowSize { rows: 11, cols: 22 });
    bundle.launch.stdin = StdinMode::Open;
    bundle
}

#[test]
fn a_terminal_echoes_has_a_name_and_a_size() {
    if !need_root() {
        return;
    }
    let mut guard = Guard::start(&with_terminal("tty; stty size; read line; stty size; echo got:$line"));
    guard.await_output(CONTAINER, "/dev/pts/0\r\n11 22\r\n");
    guard.say(&ToGuard::Resize { process: CONTAINER, size: WindowSize { rows: 33, cols: 44 } });
    guard.stdin(CONTAINER, "abc\r");
    guard.await_output(CONTAINER, "got:abc");
    let output = guard.output_of(CONTAINER);
    assert!(output.contains("abc\r\n33 44\r\ngot:abc"), "{output:?}");
    assert_eq!(guard.await_exit(CONTAINER).code, 0);
    guard.finish();
}

#[test]
fn an_interrupt_typed_at_the_terminal_reaches_the_process() {
    if !need_root() {
        return;
    }
    let mut guard =
        Guard::start(&with_terminal("trap 'echo caught; exit 5' INT; echo up; while :; do sleep 1; done"));
    guard.await_output(CONTAINER, "up");
    guard.stdin(CONTAINER, "\x03");
    assert_eq!(guard.await_exit(CONTAINER).code, 5);
    assert!(guard.output_of(CONTAINER).contains("caught"));
    guard.finish();
}

#[test]
fn closing_input_leaves_output_open() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("cat; echo after");
    bundle.launch.stdin = StdinMode::Open;
    let mut guard = Guard::start(&bundle);
    guard.stdin(CONTAINER, "in\n");
    guard.say(&ToGuard::CloseStdin { process: CONTAINER });
    assert_eq!(guard.await_exit(CONTAINER).code, 0);
    assert_eq!(guard.output_of(CONTAINER), "in\nafter\n");
    guard.finish();
}

#[test]
fn a_process_that_does_not_read_is_still_reached_by_signals() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("echo up; sleep 100");
    bundle.launch.stdin = StdinMode::Open;
    let mut guard = Guard::start(&bundle);
    guard.await_output(CONTAINER, "up");
    guard.say(&ToGuard::Stdin { process: CONTAINER, bytes: vec![b'x'; 64 * 1024] });
    guard.say(&ToGuard::Stdin { process: CONTAINER, bytes: vec![b'x'; 64 * 1024] });
    guard.say(&ToGuard::Signal { process: CONTAINER, signal: 9 });
    assert_eq!(guard.await_exit(CONTAINER).code, 137);
    guard.finish();
}

#[test]
fn a_lot_of_output_arrives_whole() {
    if !need_root() {
        return;
    }
    let bundle = Bundle::sh("busybox dd if=/dev/zero bs=65536 count=160 2>/dev/null");
    let mut guard = Guard::start(&bundle);
    guard.await_exit(CONTAINER);
    let total: usize = guard.output.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(total, 160 * 65536);
    guard.finish();
}

#[test]
fn a_slow_engine_holds_the_container_and_an_absent_one_does_not() {
    if !need_root() {
        return;
    }
    let bundle = Bundle::sh("busybox dd if=/dev/zero bs=65536 count=320 2>/dev/null");
    let mut guard = Guard::start(&bundle);
    // Nothing is read here: the guard must stop taking output. Gone is the engine then, and the container ends.
    guard.reconnect();
    let exited = guard.hear_until(|message| {
        matches!(
            message,
            FromGuard::Exited { .. } | FromGuard::Hello { state: berth_guard::State::Exited { .. }, .. }
        )
    });
    assert!(matches!(exited, FromGuard::Exited { process: CONTAINER, .. }), "{exited:?}");
    guard.finish();
}
