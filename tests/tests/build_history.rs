//! Builds with the buildx plugin: what is remembered of those that have ended.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use e2e::buildx::{self, Context, with_buildx};
use e2e::engine::Engine;
use e2e::grpc;

#[test]
fn builds_are_remembered_until_they_are_removed() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM busybox\nRUN echo no\"\"ted\n");
    let history = |args: &[&str]| context.run(&[&["buildx", "history"], args].concat());
    if !context.is_at_least(20) {
        return;
    }
    context.built(&[]);
    assert!(history(&["ls"]).out.contains("Completed"), "{}", history(&["ls"]).err);
    let inspected = history(&["inspect"]);
    assert!(inspected.out.contains("Build Steps:"), "{}{}", inspected.out, inspected.err);
    let logs = history(&["logs"]);
    assert!([logs.out, logs.err].concat().contains(" noted\n"));
    assert_eq!(history(&["rm", "--all"]).code, 0);
    assert!(!history(&["ls"]).out.contains("Completed"));
}

#[test]
fn the_history_outlives_an_engine_that_was_killed() {
    let Some(mut buildx) = with_buildx() else { return };
    if buildx.0.is_machine() {
        eprintln!("skipped: this kills the engine, and the machine's isn't the test's own");
        return;
    }
    let context = Context::new(&buildx, "FROM busybox\nRUN echo no\"\"ted\n");
    if !context.is_at_least(20) {
        return;
    }
    context.built(&[]);
    assert_eq!(Context::new(&buildx, "FROM busybox\nRUN echo fai\"\"led; exit 7\n").build(&[]).code, 1);
    let slow = Context::new(&buildx, "FROM busybox\nRUN echo beg\"\"un; sleep 600\n");
    let mut under_way = slow.client(&["build", "."]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(under_way.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(" begun")));
    drop(lines);
    buildx.0.crash();
    under_way.wait().unwrap();
    let context = Context::new(&buildx, "FROM busybox\n");
    let history = |args: &[&str]| context.run(&[&["buildx", "history"], args].concat());
    let listed = history(&["ls", "--format", "{{.Ref}} {{.Status}}"]);
    let builds: Vec<(&str, &str)> = listed.out.lines().filter_map(|line| line.split_once(' ')).collect();
    let of = |status: &str| builds.iter().find(|build| build.1 == status).map(|build| build.0);
    let (Some(done), Some(failed)) = (of("Completed"), of("Error")) else { panic!("{listed:?}") };
    assert_eq!(builds.len(), 2, "what was under way has no end: {listed:?}");
    let found = |filter: &str| history(&["ls", "--filter", filter, "--format", "{{.Ref}}"]).out;
    assert_eq!(found("status=error"), failed);
    assert_eq!(found(&format!("ref={done}")), done);
    assert_eq!([found("startedAt<1h"), found("duration>1h")], ["", ""]);
    let inspected = history(&["inspect", failed]);
    assert!(inspected.out.contains("exit code: 7"), "{}{}", inspected.out, inspected.err);
    for (build, words) in [(done, " noted\n"), (failed, " failed\n")] {
        let logs = history(&["logs", build]);
        assert!([logs.out.as_str(), &logs.err].concat().contains(words), "{logs:?}");
    }
    assert_eq!(history(&["rm", done]).code, 0);
    buildx.0.ok(&["info"]);
    let left = history(&["ls", "--format", "{{.Ref}}"]).out;
    assert_eq!(left, failed);
}

#[test]
fn so_many_builds_are_remembered_as_the_configuration_says_and_what_is_pinned() {
    let Some(config) = buildx::config() else { return };
    let json = r#"{"builder": {"history": {"maxEntries": 2}}}"#;
    let Some(engine) = Engine::configured(json, &[]) else { return };
    engine.load_busybox();
    let buildx = (engine, config);
    let context = Context::new(&buildx, "FROM busybox\n");
    if !context.is_at_least(20) {
        return;
    }
    let refs = || {
        let said = context.run(&["buildx", "history", "ls", "--no-trunc", "--format", "{{.Ref}}"]).out;
        // The latest first, each behind the builder's name.
        let last = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        said.lines().map(last).collect::<Vec<String>>()
    };
    let build = || {
        context.built(&[]);
        refs()[0].clone()
    };
    // `Ref` and `Pinned` (BuildKit's control.proto).
    let pin = |reference: &str, pinned: u8| {
        let length = u8::try_from(reference.len()).unwrap();
        let message = [&[0x0a, length][..], reference.as_bytes(), &[0x10, pinned]].concat();
        grpc::send(&buildx.0, "/moby.buildkit.v1.Control/UpdateBuildHistory", &message);
    };
    let first = build();
    pin(&first, 1);
    let [_, second, last] = [build(), build(), build()];
    assert_eq!(refs(), [&*last, &*second, &*first]);
    let logs = context.run(&["buildx", "history", "logs", &first]);
    assert!(
        logs.err.contains("load build definition") || logs.out.contains("load build definition"),
        "{logs:?}"
    );
    pin(&first, 0);
    assert_eq!(refs(), [&*last, &*second]);
}
