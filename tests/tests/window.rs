//! The window against a real engine: what the tests read in the page came from the engine, which the unmodified
//! `docker` client changes behind the window's back.

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::window::{Window, World, key, need_display};

/// A program that prints a first line, a second one once `/go` is there, and then waits; it ends at SIGTERM.
const PATIENT: &str = "trap 'exit 0' TERM; echo ahoy; while [ ! -e /go ]; do sleep 0.1; done; \
                       echo cast off; while true; do sleep 0.1; done";

/// An engine with busybox and a window on it; none where this machine can't have both.
fn engine_and_window() -> Option<(Engine, Window)> {
    if !need_display() {
        return None;
    }
    let engine = Engine::native_with_busybox()?;
    let window =
        Window::open(&World { docker_socket: Some(engine.socket().to_path_buf()), ..World::default() });
    Some((engine, window))
}

fn run_patiently(engine: &Engine, name: &str) {
    engine.ok(&["run", "--detach", "--network", "none", "--name", name, "busybox", "sh", "-c", PATIENT]);
}

#[test]
fn containers_appear_change_and_vanish_as_it_happens() {
    let Some((engine, window)) = engine_and_window() else { return };
    window.read("main", "No containers yet");
    run_patiently(&engine, "harbour");
    window.read("[data-name=harbour]", "busybox");
    window.read("[data-name=harbour] .state", "Running");
    window.read("aside [role=status]", "Running");
    engine.ok(&["stop", "harbour"]);
    window.read("[data-name=harbour] .state", "Stopped");
    engine.ok(&["rename", "harbour", "haven"]);
    window.read("[data-name=haven] .state", "Stopped");
    engine.ok(&["run", "--detach", "--network", "none", "--name", "wreck", "busybox", "sh", "-c", "exit 3"]);
    window.read("[data-name=wreck] .state", "Failed · 3");
    engine.ok(&["rm", "haven", "wreck"]);
    window.miss("[data-name]");
    window.read("main", "No containers yet");
}

#[test]
fn output_follows_and_is_searched() {
    let Some((engine, window)) = engine_and_window() else { return };
    run_patiently(&engine, "speaker");
    window.click("[data-name=speaker]");
    window.read(".line", "ahoy");
    window.read(".live", "Following");
    engine.ok(&["exec", "speaker", "touch", "/go"]);
    window.read(".line", "cast off");
    window.click(".logs input");
    window.press("cast");
    window.read("mark", "cast");
    assert_eq!(window.run("return document.querySelectorAll('.line').length"), 1);
    engine.ok(&["stop", "speaker"]);
    window.read(".live", "Ended");
}

#[test]
fn the_keyboard_stops_starts_and_removes() {
    let Some((engine, window)) = engine_and_window() else { return };
    run_patiently(&engine, "older");
    run_patiently(&engine, "newer");
    window.see("[data-name=newer]");
    // The search finds one, Enter goes to it, s stops it.
    window.press("/older");
    window.miss("[data-name=newer]");
    window.press(key::ENTER);
    window.press("s");
    window.read("[data-name=older] .state", "Stopped");
    assert_eq!(engine.inspect("older", ".State.Status"), "exited");
    window.press("s");
    window.read("[data-name=older] .state", "Running");
    assert_eq!(engine.inspect("older", ".State.Running"), "true");
    window.press(key::DELETE);
    window.read("dialog", "Remove “older”?");
    window.press(key::ESCAPE);
    window.miss("dialog");
    assert_eq!(engine.inspect("older", ".State.Running"), "true");
    window.press(key::DELETE);
    window.see("dialog");
    window.press(key::ENTER);
    window.miss("[data-name=older]");
    assert_eq!(engine.ok(&["ps", "--all", "--format", "{{.Names}}"]), "newer");
}

#[test]
fn buttons_stop_and_start() {
    let Some((engine, window)) = engine_and_window() else { return };
    run_patiently(&engine, "clicked");
    window.click("[aria-label='Stop clicked']");
    window.read("[data-name=clicked] .state", "Stopped");
    assert_eq!(engine.inspect("clicked", ".State.Status"), "exited");
    window.click("[aria-label='Start clicked']");
    window.read("[data-name=clicked] .state", "Running");
}

#[test]
fn a_click_on_a_port_opens_it_in_the_browser() {
    let Some((engine, window)) = engine_and_window() else { return };
    engine.ok(&["run", "--detach", "--name", "web", "--publish", "8123:80", "busybox", "sleep", "600"]);
    window.click("[data-name=web] .port.open");
    eventually("the browser opens", || (window.opened() == "http://localhost:8123/\n").then_some(()));
}

#[test]
fn a_button_removes_after_a_question() {
    let Some((engine, window)) = engine_and_window() else { return };
    run_patiently(&engine, "doomed");
    window.click("[aria-label='Remove doomed']");
    window.read("dialog", "Remove “doomed”?");
    window.click("dialog button.danger");
    window.miss("[data-name=doomed]");
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn colours_follow_the_button_and_are_kept() {
    if !need_display() {
        return;
    }
    let window = Window::open(&World::default());
    window.read("main", "Berth isn’t running");
    let ground = || window.run("return getComputedStyle(document.body).backgroundColor").to_string();
    let label = |text: &str| window.see(&format!("[aria-label='Colours: {text}']"));
    label("as the system");
    window.click("button.theme");
    label("light");
    let light = ground();
    window.click("button.theme");
    label("dark");
    assert_ne!(ground(), light);
    window.run("location.reload()");
    label("dark");
    window.click("button.theme");
    label("as the system");
}

#[test]
fn images_are_listed_and_follow_the_engine() {
    let Some((engine, window)) = engine_and_window() else { return };
    window.click("nav button:nth-child(2)");
    window.read("[data-image='busybox:latest']", "MB");
    engine.ok(&["rmi", "busybox:latest"]);
    window.read("main", "No images yet");
}

#[test]
fn an_engine_that_dies_is_said_and_found_again() {
    let Some((mut engine, window)) = engine_and_window() else { return };
    run_patiently(&engine, "survivor");
    window.read("[data-name=survivor] .state", "Running");
    engine.stop_answering();
    window.read("[data-code=engine_down]", "The engine doesn’t answer");
    engine.answer_again();
    window.read("[data-name=survivor] .state", "Running");
    window.miss("[data-code]");
}

#[test]
fn without_a_daemon_the_window_offers_to_start_it() {
    if !need_display() {
        return;
    }
    let window = Window::open(&World::default());
    window.read("main", "Berth isn’t running");
    window.picture("absent");
    window.click("main button.main");
    // Nothing is named `berth` here: the window's own folder and PATH are empty of it.
    window.read("[data-code=berth_missing]", "The berth program isn’t found");
    window.picture("berth-missing");
}

#[test]
fn pictures_of_the_window() {
    if std::env::var_os("BERTH_PICTURES").is_none() {
        eprintln!("skipped: pictures are taken when BERTH_PICTURES names a folder for them");
        return;
    }
    let Some((engine, window)) = engine_and_window() else { return };
    let lines = "i=0; while true; do i=$((i+1)); echo \"$i request GET /status 200 in $((i % 7 + 2)) ms\"; \
                 [ $((i % 9)) -eq 0 ] && echo 'slow upstream, retrying' >&2; sleep 0.3; done";
    let run = |name: &str, image: &str, port: &str, script: &str| {
        engine.ok(&["tag", "busybox", image]);
        let publish: &[&str] = if port.is_empty() { &[] } else { &["--publish", port] };
        let run = ["run", "--detach", "--name", name];
        engine.ok(&[&run, publish, &[image, "sh", "-c", script]].concat());
    };
    run("nightly-report", "harbour/report:2.1", "", "exit 0");
    run("migrate", "harbour/shop:1.8", "", "echo no such table; exit 2");
    run("worker", "harbour/shop:1.8", "", PATIENT);
    run("queue", "harbour/queue:0.4", "6379:6379", PATIENT);
    run("web", "harbour/web:3.2", "8080:80", lines);
    eventually("all run", || (engine.ok(&["ps", "-q"]).lines().count() == 3).then_some(()));
    window.read("[data-name=migrate] .state", "Failed");
    window.run("document.documentElement.dataset.theme = 'light'");
    window.picture("list-light");
    window.click("[data-name=web]");
    window.read(".line", "retrying");
    std::thread::sleep(std::time::Duration::from_secs(8));
    window.picture("wide-light");
    window.run("document.documentElement.dataset.theme = 'dark'");
    window.picture("wide-dark");
    window.press(key::DELETE);
    window.picture("confirm-dark");
    window.press(key::ESCAPE);
    window.resize(480, 800);
    window.picture("narrow-details-dark");
    window.press(key::ESCAPE);
    window.picture("narrow-dark");
    window.run("document.documentElement.dataset.theme = 'light'");
    window.picture("narrow-light");
    window.resize(1400, 860);
    window.click("nav button:nth-child(2)");
    window.picture("images-light");
    window.click("nav button:nth-child(3)");
    window.picture("machine-light");
}
