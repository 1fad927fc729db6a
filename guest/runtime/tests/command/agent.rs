//! Filters that ask an agent (OCI runtime spec, "Seccomp", `SCMP_ACT_NOTIFY`).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};

use crate::bundle::{Bundle, bundle};
use crate::sys;

/// Says what becomes of a folder that it makes.
const SCRIPT: &str = "busybox mkdir /made; echo $?";

#[test]
fn an_agent_answers_for_the_container_and_what_is_executed_in_it() {
    let Some(mut bundle) = bundle("exec sleep 100") else { return };
    ask(&mut bundle, "mkdir");
    let agent = UnixListener::bind(bundle.path().join("agent")).unwrap();
    let first = accept(agent.try_clone().unwrap(), 0);
    bundle.create();
    let (told, _) = first.join().unwrap();
    assert_eq!(told["fds"], json!(["seccompFd"]));
    assert_eq!(told["metadata"], "a word");
    assert_eq!(told["state"]["id"], bundle.id);
    assert_eq!(told["state"]["status"], "creating");
    assert_eq!(told["pid"], bundle.state()["pid"]);
    bundle.ok(&["start", "ID"]);
    let second = accept(agent, 1);
    let output = bundle.run(&["exec", "ID", "sh", "-c", SCRIPT]);
    let (told, refused) = second.join().unwrap();
    assert_eq!(told["state"]["status"], "running");
    assert_eq!(refused.len(), 1);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("1\n") && text.contains("Disk quota exceeded"), "{text}");
    assert!(!bundle.path().join("rootfs/made").exists());
}

#[test]
fn no_new_privileges_and_an_agent_go_together() {
    let Some(mut bundle) = bundle(SCRIPT) else { return };
    ask(&mut bundle, "mkdir");
    bundle.spec["process"]["noNewPrivileges"] = true.into();
    let agent = accept(UnixListener::bind(bundle.path().join("agent")).unwrap(), 1);
    let (code, text) = bundle.run_through();
    agent.join().unwrap();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1\n") && text.contains("Disk quota exceeded"), "{text}");
}

#[test]
fn a_filter_without_its_agent_is_refused() {
    let Some(mut bundle) = bundle("true") else { return };
    ask(&mut bundle, "mkdir");
    let socket = bundle.path().join("agent");
    bundle.write();
    let error = bundle.refused(&["create", "ID"]);
    assert!(error.contains(&format!("connect to {}", socket.display())), "{error}");
    bundle.assert_gone();
    bundle.spec["linux"]["seccomp"].as_object_mut().unwrap().remove("listenerPath");
    bundle.write();
    let error = bundle.refused(&["create", "ID"]);
    assert!(error.contains("SCMP_ACT_NOTIFY needs a listenerPath"), "{error}");
    ask(&mut bundle, "write");
    bundle.write();
    let error = bundle.refused(&["create", "ID"]);
    assert!(error.contains("SCMP_ACT_NOTIFY cannot be used for the write syscall"), "{error}");
    bundle.assert_gone();
}

/// Has the agent at the bundle's socket asked about a call.
fn ask(bundle: &mut Bundle, call: &str) {
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": bundle.path().join("agent"),
        "listenerMetadata": "a word",
        "syscalls": [{ "names": [call], "action": "SCMP_ACT_NOTIFY" }],
    });
}

/// Accepts one listener and refuses as many calls; what the agent was told, and who called.
fn accept(agent: UnixListener, calls: usize) -> JoinHandle<(Value, Vec<u32>)> {
    std::thread::spawn(move || {
        let (told, listener) = receive(&agent);
        let refuse = |_| sys::refuse_next(listener.as_fd(), libc::EDQUOT).unwrap();
        (told, (0..calls).map(refuse).collect())
    })
}

fn receive(agent: &UnixListener) -> (Value, OwnedFd) {
    let (line, _) = agent.accept().unwrap();
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received =
        rustix::net::recvmsg(&line, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags).unwrap();
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    (serde_json::from_slice(&bytes[..received.bytes]).unwrap(), listener.unwrap())
}
