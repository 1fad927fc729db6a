//! Builds with the buildx plugin: what is remembered of those that have ended.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use e2e::buildx::{Context, with_buildx};

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
