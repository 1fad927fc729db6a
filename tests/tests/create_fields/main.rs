//! Every field of a container's creation (API 1.51, `POST /containers/create`): each is set, and its effect is seen from
//! inside the container or from outside, or it is refused. docs/create-fields.md is made from this table.

mod container;
mod host;
mod limits;
mod logs;
mod table;

use std::path::Path;

use e2e::condition::eventually;
use e2e::engine::Engine;
use serde_json::{Value, json};
use table::{Field, Seen};

/// Set to write docs/create-fields.md instead of comparing it.
const WRITE: &str = "BERTH_WRITE_DOCS";

fn fields() -> Vec<Field> {
    [container::fields(), host::fields(), logs::fields(), limits::fields()].concat()
}

#[test]
fn every_field_has_its_effect_or_is_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    let limits = engine.ok(&["info", "--format", "{{.MemoryLimit}}"]) == "true";
    let wrong: Vec<String> = fields()
        .iter()
        .filter_map(|field| {
            let result = observe(&engine, field, limits);
            engine.docker(&["rm", "--force", "--volumes", "field"]);
            result.err().map(|error| format!("{}: {error}", field.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn observe(engine: &Engine, field: &Field, limits: bool) -> Result<(), String> {
    let create = |script: &str| {
        let mut body = json!({
            "Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": { "NetworkMode": "none" },
        });
        merge(&mut body, &field.wish);
        engine.call("POST", "/containers/create?name=field", &body)
    };
    match &field.seen {
        Seen::Inside { script, expected } => {
            created(&create(script))?;
            is(&run(engine), expected)
        }
        Seen::Limit { script, expected } => {
            let answer = create(script);
            created(&answer)?;
            // Weights of block I/O are up to the kernel, also where the controller is there.
            let may_lack = !limits || field.name.starts_with("HostConfig.BlkioWeight");
            if may_lack && answer.1["Warnings"].to_string().contains("does not support") {
                engine.ok(&["start", "field"]);
                return Ok(());
            }
            is(&run(engine), expected)
        }
        Seen::Inspect { template, expected } => {
            created(&create("sleep 1000"))?;
            engine.ok(&["start", "field"]);
            is(&engine.inspect("field", template), expected)
        }
        Seen::Outside { script, look, expected } => {
            created(&create(script))?;
            engine.ok(&["start", "field"]);
            let mut seen = String::new();
            eventually_or(&mut || {
                seen = look(engine);
                seen == *expected
            });
            is(&seen, expected)
        }
        Seen::Refused { words } => match create("true") {
            (400..600, answer) if answer["message"].as_str().is_some_and(|text| text.contains(words)) => {
                Ok(())
            }
            answer => Err(format!("not refused with {words:?}: {answer:?}")),
        },
        Seen::Warned { words } => {
            let answer = create("true");
            created(&answer)?;
            if answer.1["Warnings"].to_string().contains(words) {
                Ok(())
            } else {
                Err(format!("no warning says {words:?}: {answer:?}"))
            }
        }
    }
}

fn created((status, answer): &(u16, Value)) -> Result<(), String> {
    if *status == 201 { Ok(()) } else { Err(format!("{status}: {answer}")) }
}

/// Starts it, waits for its end; what it printed.
fn run(engine: &Engine) -> String {
    let started = engine.docker(&["start", "field"]);
    if started.code != 0 {
        return started.err;
    }
    engine.ok(&["wait", "field"]);
    let said = engine.docker(&["logs", "field"]);
    format!("{}{}", said.out, said.err).replace('\r', "")
}

fn is(seen: &str, expected: &str) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
}

/// Asks until `holds`, for as long as anything may take.
fn eventually_or(holds: &mut dyn FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn merge(body: &mut Value, wish: &Value) {
    match (body, wish) {
        (Value::Object(body), Value::Object(wish)) => {
            for (key, value) in wish {
                merge(body.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (body, wish) => body.clone_from(wish),
    }
}

#[test]
fn the_table_has_every_field_of_the_api_once() {
    let mut named: Vec<&str> = fields().iter().map(|field| field.name).collect();
    named.sort_unstable();
    let mut known: Vec<&str> = table::API.to_vec();
    known.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn the_documents_table_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/create-fields.md");
    let text = table::document(&fields());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/create-fields.md is old: run this test with {WRITE}=1");
}

#[test]
fn an_unknown_field_is_told() {
    let Some(engine) = Engine::with_busybox() else { return };
    let body = json!({ "Image": "busybox", "Wings": 2 });
    let (status, answer) = engine.call("POST", "/containers/create?name=field", &body);
    assert_eq!(status, 201, "{answer}");
    assert!(answer["Warnings"].to_string().contains("Wings"), "{answer}");
    eventually("it is there", || (engine.ok(&["ps", "-aq"]).len() == 12).then_some(()));
}
