//! Streams as other clients than `docker` ask for them: without an upgrade, and over a websocket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use e2e::condition::eventually;
use e2e::engine::Engine;

/// One request on a connection of its own, and everything that comes back.
fn raw(engine: &Engine, head: &str, body: &str) -> UnixStream {
    let mut stream = UnixStream::connect(engine.socket()).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let length = body.len();
    write!(stream, "{head}\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}").expect("ask");
    stream
}

fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn a_client_that_asks_for_no_upgrade_reads_a_plain_answer() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000"]);
    let body = r#"{"AttachStdout":true,"AttachStderr":true,"Cmd":["sh","-c","echo out; echo err >&2"]}"#;
    let mut made = raw(
        &engine,
        "POST /containers/box/exec HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json",
        body,
    );
    let mut text = String::new();
    made.read_to_string(&mut text).unwrap();
    let id = text.split("\"Id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let start = format!("POST /exec/{id}/start HTTP/1.1\r\nContent-Type: application/json");
    let mut stream = raw(&engine, &start, "{}");
    let head = read_head(&mut stream);
    assert!(
        head.contains("200 OK") && head.contains("multiplexed-stream") && !head.contains("chunked"),
        "{head}"
    );
    let mut output = Vec::new();
    stream.read_to_end(&mut output).unwrap();
    let (out, err) = (b"\x01\0\0\0\0\0\0\x04out\n", b"\x02\0\0\0\0\0\0\x04err\n");
    assert!(output == [&out[..], &err[..]].concat() || output == [&err[..], &out[..]].concat(), "{output:?}");
}

#[test]
fn a_client_that_detached_reads_the_end_and_what_it_still_says_is_refused_at_once_or_not_at_all() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-dit", "--name", "box", "--network", "none", "busybox", "cat"]);
    let attach = "POST /containers/box/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp";
    let mut stream = raw(&engine, attach, "");
    assert!(read_head(&mut stream).contains("101 "));
    stream.write_all(b"\x10\x11").unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    // A client takes a stream that takes something as open (docker-py does).
    let still = [stream.write_all(b"one\n").is_ok(), stream.write_all(b"more\n").is_ok()];
    assert_eq!(still[0], still[1]);
    assert_eq!(engine.inspect("box", ".State.Status"), "running");
}

#[test]
fn a_websocket_carries_bytes_both_ways() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&[
        "run",
        "-di",
        "--name",
        "cat",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "echo ready; exec cat",
    ]);
    eventually("it is ready", || (engine.ok(&["logs", "cat"]) == "ready").then_some(()));
    let query = "logs=1&stream=1&stdin=1&stdout=1&stderr=1";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let mut stream =
        raw(&engine, &format!("GET /v1.44/containers/cat/attach/ws?{query} HTTP/1.1\r\n{upgrade}"), "");
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101"));
    let mut message = || {
        let mut start = [0; 2];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(start[0], 0x82, "a binary message");
        let mut bytes = vec![0; start[1].into()];
        stream.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(message(), "ready\n");
    let mut writer = stream.try_clone().unwrap();
    // What a client sends is masked; a mask of zeros changes nothing.
    writer.write_all(b"\x82\x83\0\0\0\0hi\n").unwrap();
    let mut start = [0; 5];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"\x82\x03hi\n");
}
