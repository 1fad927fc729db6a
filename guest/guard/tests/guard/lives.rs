//! From start to exit, and what survives whom.

use std::path::Path;
use std::time::{Duration, Instant};

use berth_guard::launch::LogFile;
use berth_guard::log::{LogReader, Selection};
use berth_guard::{CONTAINER, ExitRecord, FailureKind, FromGuard, LogDriver, SOCKET_FILE, State, ToGuard};

use crate::bundle::{Bundle, need_root};
use crate::client::{Guard, PATIENCE, run};

/// Whether a process is gone, or waits only for its parent.
fn is_dead(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn await_death(pid: i32) {
    let deadline = Instant::now() + PATIENCE;
    while !is_dead(pid) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn output_and_exit_code_arrive() {
    if !need_root() {
        return;
    }
    let (exit, output) = run(&Bundle::sh("echo hello; echo $$ $(id -u); exit 3"));
    assert_eq!((exit.code, exit.signal), (3, None));
    assert_eq!(output, "hello\n1 0\n");
}

#[test]
fn the_exit_record_and_nothing_else_is_left() {
    if !need_root() {
        return;
    }
    let bundle = Bundle::sh("exit 7");
    let (exit, _) = run(&bundle);
    assert_eq!(ExitRecord::read(bundle.folder.path()).unwrap(), Some(exit));
    assert!(!bundle.folder.path().join(SOCKET_FILE).exists());
    if let Some(mount) = &bundle.launch.cgroup_mount {
        assert!(!mount.join(&bundle.launch.cgroup_path).exists());
    }
}

#[test]
fn output_is_in_the_log() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("echo one; echo -n two");
    let path = bundle.folder.path().join("json.log");
    bundle.launch.log = LogDriver::JsonFile(LogFile { path, max_size: None, max_file: 1, compress: false });
    run(&bundle);
    let mut reader = LogReader::open(&bundle.launch.log, Selection::default()).unwrap().unwrap();
    let lines: Vec<_> =
        std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| record.bytes).collect();
    assert_eq!(lines, [b"one\n".to_vec(), b"two".to_vec()]);
}

#[test]
fn a_signal_ends_it_with_128_and_the_number() {
    if !need_root() {
        return;
    }
    let mut guard = Guard::start(&Bundle::sh("echo up; sleep 100"));
    guard.await_output(CONTAINER, "up");
    guard.say(&ToGuard::Signal { process: CONTAINER, signal: 9 });
    let exit = guard.await_exit(CONTAINER);
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    guard.finish();
}

#[test]
fn a_killed_guard_takes_its_container_along() {
    if !need_root() {
        return;
    }
    let mut guard = Guard::launch(&Bundle::sh("echo up; sleep 100"));
    let FromGuard::Hello { state: State::Created { pid }, .. } = guard.hear() else { panic!("not created") };
    guard.say(&ToGuard::Start);
    guard.await_output(CONTAINER, "up");
    assert!(!is_dead(pid));
    guard.program.kill().unwrap();
    await_death(pid);
}

#[test]
fn a_new_engine_hears_the_state() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("echo up; cat; exit 4");
    bundle.launch.stdin = berth_guard::StdinMode::Open;
    let mut guard = Guard::start(&bundle);
    guard.await_output(CONTAINER, "up");
    guard.reconnect();
    let hello = guard.hear();
    assert!(matches!(hello, FromGuard::Hello { state: State::Running { .. }, .. }), "{hello:?}");
    guard.stdin(CONTAINER, "still here\n");
    guard.await_output(CONTAINER, "still here");
    guard.say(&ToGuard::CloseStdin { process: CONTAINER });
    assert_eq!(guard.await_exit(CONTAINER).code, 4);
    guard.finish();
}

#[test]
fn a_container_that_never_ran_goes_with_its_engine() {
    if !need_root() {
        return;
    }
    let bundle = Bundle::sh("true");
    let mut guard = Guard::launch(&bundle);
    let FromGuard::Hello { state: State::Created { pid }, .. } = guard.hear() else { panic!("not created") };
    guard.hang_up();
    assert!(guard.await_end().success());
    assert!(is_dead(pid));
    assert!(!bundle.folder.path().join(SOCKET_FILE).exists());
}

fn failure(bundle: &Bundle) -> (FailureKind, String) {
    let mut guard = Guard::launch(bundle);
    let message = guard.hear();
    let FromGuard::CreateFailed { kind, message } = message else { panic!("{message:?}") };
    guard.await_end();
    (kind, message)
}

fn running(program: &str) -> Bundle {
    let mut bundle = Bundle::sh("");
    bundle.spec["process"]["args"] = serde_json::json!([program]);
    bundle
}

#[test]
fn a_missing_program_is_told_from_one_that_cannot_run() {
    if !need_root() {
        return;
    }
    let (kind, message) = failure(&running("nope"));
    assert_eq!(
        (kind, message.as_str()),
        (FailureKind::NotFound, "exec: \"nope\": executable file not found in $PATH")
    );
    let (kind, message) = failure(&running("/etc"));
    assert_eq!((kind, message.as_str()), (FailureKind::NotExecutable, "exec: \"/etc\": is a directory"));
    let bundle = running("/etc/plain");
    std::fs::write(bundle.root().join("etc/plain"), "text").unwrap();
    let (kind, message) = failure(&bundle);
    assert_eq!(
        (kind, message.as_str()),
        (FailureKind::NotExecutable, "exec: \"/etc/plain\": permission denied")
    );
}

#[test]
fn a_program_of_no_known_format_fails_at_start() {
    if !need_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let bundle = running("/etc/odd");
    let path = bundle.root().join("etc/odd");
    std::fs::write(&path, "text").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut guard = Guard::launch(&bundle);
    guard.hear();
    guard.say(&ToGuard::Start);
    let message = guard.hear_until(|message| !matches!(message, FromGuard::Output { .. }));
    let FromGuard::StartFailed { kind, message } = message else { panic!("{message:?}") };
    assert_eq!(
        (kind, message.as_str()),
        (FailureKind::NotExecutable, "exec: \"/etc/odd\": exec format error")
    );
    guard.await_end();
    assert!(Path::new(&guard.folder).exists());
}

#[test]
fn the_container_lives_in_its_cgroup() {
    if !need_root() {
        return;
    }
    let bundle = Bundle::sh("cat /proc/self/cgroup; echo up; sleep 100");
    let Some(mount) = bundle.launch.cgroup_mount.clone() else { return };
    let mut guard = Guard::start(&bundle);
    guard.await_output(CONTAINER, "up");
    assert!(guard.output_of(CONTAINER).contains("0::/\n"), "{}", guard.output_of(CONTAINER));
    let cgroup = berth_runtime::cgroup::CgroupRoot { mount }.at(&bundle.launch.cgroup_path);
    guard.exec(1, &["sleep", "100"], false, false);
    guard.hear_until(|message| matches!(message, FromGuard::ExecStarted { .. }));
    // The shell, which has become its last command, and the exec.
    assert_eq!(cgroup.pids().unwrap().len(), 2);
    cgroup.freeze(Duration::from_secs(5)).unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw(Duration::from_secs(5)).unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.kill().unwrap();
    assert_eq!(guard.await_exit(CONTAINER).code, 137);
    guard.finish();
}
