//! Ping and version: what a client sees before anything else.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use e2e::engine::{Engine, said};

/// One request over a connection of its own, as text.
fn ask(engine: &Engine, request_line: &str) -> String {
    let mut stream = UnixStream::connect(engine.socket()).unwrap();
    write!(stream, "{request_line}\r\nHost: docker\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn ping_answers_with_the_headers_that_clients_negotiate_on() {
    let Some(engine) = Engine::start() else { return };
    let answer = ask(&engine, "GET /_ping HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("api-version: 1.51"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nOK"), "{answer}");
}

#[test]
fn an_unknown_page_is_dockers_404() {
    let Some(engine) = Engine::start() else { return };
    let answer = ask(&engine, "GET /v1.44/nothing HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.ends_with(r#"{"message":"page not found"}"#), "{answer}");
}

#[test]
fn an_engine_in_no_swarm_says_so_in_dockers_words() {
    let Some(engine) = Engine::start() else { return };
    let said = engine.docker(&["service", "ls"]);
    assert!(said.err.contains("This node is not a swarm manager. Use \"docker swarm init\""), "{said:?}");
    assert!(engine.docker(&["swarm", "leave", "--force"]).err.contains("This node is not part of a swarm"));
    let said = engine.docker(&["swarm", "init"]);
    assert!(said.err.contains("not supported by this engine yet"), "{said:?}");
    assert_eq!(engine.ok(&["plugin", "ls", "--quiet"]), "");
}

#[test]
fn older_clients_find_what_they_know() {
    let Some(engine) = Engine::with_busybox() else { return };
    let old = |version: &str, args: &[&str]| {
        said(&engine.client(args).env("DOCKER_API_VERSION", version).output().unwrap())
    };
    // Such a client removes the container itself, and ends when that is told, with the answer or before it.
    let run = old("1.24", &["run", "--rm", "--name", "brief", "busybox", "sh", "-c", "echo out; exit 3"]);
    assert_eq!((run.out.as_str(), run.code), ("out", 3));
    assert!(run.err.is_empty() || run.err.ends_with(": context canceled\""), "{}", run.err);
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
    old("1.39", &["run", "--detach", "--name", "first", "busybox", "sleep", "1000"]);
    assert_eq!(engine.inspect("first", ".HostConfig.IpcMode"), "shareable");
    engine.ok(&["volume", "create", "kept"]);
    assert_eq!(old("1.42", &["volume", "prune", "--force"]).out, "Total reclaimed space: 0B");
    assert!(old("1.41", &["volume", "prune", "--force"]).out.contains("kept"));
    let size = |version: &str| engine.get(&format!("/{version}/images/busybox/json"))["VirtualSize"].clone();
    assert!(size("v1.43").as_u64().is_some_and(|size| size > 0));
    assert!(size("v1.44").is_null());
    let listed = |filter: &str| engine.get(&format!("/v1.40/images/json?filter={filter}"));
    assert_eq!(listed("busybox").as_array().map(Vec::len), Some(1));
    assert_eq!(listed("nobody").as_array().map(Vec::len), Some(0));
}
