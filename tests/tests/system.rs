//! Ping and version: what a client sees before anything else.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use e2e::engine::Engine;

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
