//! Health checks through the unmodified client.

use e2e::condition::eventually;
use e2e::engine::Engine;

const CHECK: &[&str] =
    &["--health-cmd", "test -e /ok", "--health-interval", "100ms", "--health-retries", "2"];

fn run(engine: &Engine, more: &[&str]) {
    let all = ["run", "-d", "--name", "box", "--network", "none"];
    engine.ok(&[&all[..], CHECK, more, &["busybox", "sleep", "1000"]].concat());
}

fn await_health(engine: &Engine, wanted: &str) {
    eventually(wanted, || (engine.inspect("box", ".State.Health.Status") == wanted).then_some(()));
}

#[test]
fn a_container_is_unhealthy_until_its_check_passes() {
    let Some(engine) = Engine::with_busybox() else { return };
    run(&engine, &[]);
    await_health(&engine, "unhealthy");
    assert_eq!(engine.ok(&["ps", "-q", "--filter", "health=unhealthy"]).lines().count(), 1);
    engine.ok(&["exec", "box", "touch", "/ok"]);
    await_health(&engine, "healthy");
    assert!(engine.ok(&["ps", "--format", "{{.Status}}"]).ends_with("(healthy)"));
    assert_eq!(engine.inspect("box", ".State.Health.FailingStreak"), "0");
    eventually("five results", || (engine.inspect("box", "len .State.Health.Log") == "5").then_some(()));
    // The client cuts `0s` to whole seconds.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64().to_string();
    let own = format!("container={}", engine.inspect("box", ".Id"));
    let filter = ["--filter", "event=health_status", "--filter", &own, "--format", "{{.Action}}"];
    let told = engine.ok(&[&["events", "--since", "0", "--until", &now], &filter[..]].concat());
    assert_eq!(told, "health_status: unhealthy\nhealth_status: healthy");
    engine.ok(&["kill", "box"]);
    assert_eq!(engine.inspect("box", ".State.Health.Status"), "unhealthy");
}

#[test]
fn failures_do_not_count_in_the_start_period() {
    let Some(engine) = Engine::with_busybox() else { return };
    run(&engine, &["--health-start-period", "1h", "--health-start-interval", "50ms"]);
    eventually("five results", || (engine.inspect("box", "len .State.Health.Log") == "5").then_some(()));
    assert_eq!(engine.inspect("box", ".State.Health.Status"), "starting");
    assert!(engine.ok(&["ps", "--format", "{{.Status}}"]).ends_with("(health: starting)"));
}

#[test]
fn a_check_that_hangs_has_failed() {
    let Some(engine) = Engine::with_busybox() else { return };
    let hang = ["--health-cmd", "echo waiting; sleep 100", "--health-timeout", "200ms"];
    run(&engine, &hang);
    await_health(&engine, "unhealthy");
    let output = engine.inspect("box", "(index .State.Health.Log 0).Output");
    assert!(output.contains("Health check exceeded timeout (0.2s)"), "{output}");
    eventually("the probes are gone", || {
        let top = engine.ok(&["top", "box"]);
        (top.matches("sleep 100").count() - top.matches("sleep 1000").count() <= 1).then_some(())
    });
}

#[test]
fn an_images_check_is_used_unless_it_is_switched_off() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["create", "--name", "base", "busybox"]);
    engine.ok(&[
        "commit",
        "--change",
        "HEALTHCHECK --interval=100ms CMD true",
        "--change",
        "CMD sleep 1000",
        "base",
        "checked",
    ]);
    engine.ok(&["run", "-d", "--name", "box", "--network", "none", "checked"]);
    await_health(&engine, "healthy");
    engine.ok(&["run", "-d", "--name", "off", "--no-healthcheck", "--network", "none", "checked"]);
    assert_eq!(engine.inspect("off", "json .State.Health"), "null");
    let short = engine.docker(&["create", "--health-cmd", "true", "--health-interval", "1us", "busybox"]);
    assert!(short.err.contains("cannot be less than 1ms"), "{short:?}");
}

#[test]
fn health_outlives_the_engine() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    run(&engine, &[]);
    engine.ok(&["exec", "box", "touch", "/ok"]);
    await_health(&engine, "healthy");
    engine.crash();
    assert_eq!(engine.inspect("box", ".State.Health.Status"), "healthy");
    engine.ok(&["exec", "box", "rm", "/ok"]);
    await_health(&engine, "unhealthy");
}
