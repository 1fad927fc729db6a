//! The window with the real host daemon: it starts Berth, shows the phases, and has words for what goes wrong.
//!
//! Every failure is made, not told: no emulator in the path, no image beside the command, a full disk.

use std::path::PathBuf;
use std::process::Command;

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::{need_program, need_root};
use e2e::image;
use e2e::machine::{emulator_of, kill};
use e2e::window::{Beside, Window, World, need_display};

/// A window beside a `berth` command, whose "Start Berth" was clicked; none where this machine can't have it.
fn started_with(beside: Beside, prepare: impl FnOnce(&Window)) -> Option<Window> {
    let command = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/berth/berth"));
    if !command.exists() {
        eprintln!("skipped: target/berth/berth isn't built");
        return None;
    }
    if !need_display() || !need_program("qemu-system-x86_64") {
        return None;
    }
    let window = Window::open(&World { docker_socket: None, beside });
    window.read("main", "Berth isn’t running");
    prepare(&window);
    window.click("main button.main");
    Some(window)
}

/// Whether the VM's image is built; prints that it isn't.
fn need_image() -> bool {
    let there = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/berth/vm/root.erofs")).exists();
    if !there {
        eprintln!("skipped: the VM's image isn't built (`cargo xtask image`)");
    }
    there
}

#[test]
fn the_window_starts_berth_shows_its_phases_and_then_its_containers() {
    if !need_image() {
        return;
    }
    let Some(window) = started_with(Beside::BerthAndImage, |_| {}) else { return };
    window.read("[data-phase='boot the kernel']", "at most");
    window.picture("starting");
    window.read("main", "No containers yet");
    let socket = format!("unix://{}", window.home().join("berth/docker.sock").display());
    let docker = |args: &[&str]| {
        let output =
            Command::new("docker").args(args).env("DOCKER_HOST", &socket).output().expect("run docker");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let archive = image::busybox(window.home());
    docker(&["load", "--quiet", "--input", &archive.to_string_lossy()]);
    docker(&["run", "--detach", "--network", "none", "--name", "aboard", "busybox", "sleep", "600"]);
    window.read("[data-name=aboard] .state", "Running");
    docker(&["rm", "--force", "aboard"]);
    window.miss("[data-name=aboard]");
    window.click("nav button:nth-child(3)");
    window.read("main", "software emulation");
    window.read("[data-phase='boot the kernel']", "at most");
    window.picture("machine");
}

#[test]
fn a_missing_emulator_is_said_with_the_command_that_installs_it() {
    let Some(window) = started_with(Beside::BerthWithoutPath, |_| {}) else { return };
    window.read("[data-code=emulator_missing]", "The emulator is missing");
    window.read("[data-code=emulator_missing] code", "apt install qemu-system-x86");
    window.read("[data-code=emulator_missing] button.main", "Start Berth");
    window.picture("emulator-missing");
}

#[test]
fn a_missing_machine_image_is_said_with_the_command_that_builds_it() {
    let Some(window) = started_with(Beside::Berth, |_| {}) else { return };
    window.read("[data-code=machine_image_missing]", "The machine’s image is missing");
    window.read("[data-code=machine_image_missing] code", "cargo xtask image");
}

#[test]
fn an_emulator_that_is_too_old_is_said_with_the_command_that_updates_it() {
    if !need_image() {
        return;
    }
    let Some(window) = started_with(Beside::BerthWithOldEmulator, |_| {}) else { return };
    window.read("[data-code=emulator_too_old]", "Berth needs QEMU 7.2 or newer");
    window.read("[data-code=emulator_too_old] code", "apt install qemu-system-x86");
}

#[test]
fn memory_that_the_host_lacks_is_said() {
    if !need_image() {
        return;
    }
    let window = started_with(Beside::BerthAndImage, |window| {
        let folder = window.home().join("config/berth");
        std::fs::create_dir_all(&folder).expect("make the settings' folder");
        std::fs::write(folder.join("settings.json"), r#"{ "memory_mib": 134217728 }"#)
            .expect("write settings");
    });
    let Some(window) = window else { return };
    window.read("[data-code=out_of_memory]", "Not enough memory");
}

#[test]
fn an_emulator_that_keeps_dying_is_said_and_starts_again_when_asked() {
    if !need_image() {
        return;
    }
    let Some(window) = started_with(Beside::BerthAndImage, |_| {}) else { return };
    window.read("main", "No containers yet");
    // The daemon starts it again by itself, until that looks hopeless.
    let mut killed = None;
    eventually("the daemon gives up", || {
        let emulator = emulator_of(window.home());
        if emulator.is_some() && emulator != killed {
            kill(&emulator?.to_string());
            killed = emulator;
        }
        let said = window.run("return document.querySelector('[data-code=machine_died]') !== null");
        (said == true).then_some(())
    });
    window.read("[data-code=machine_died]", "Its disk is safe");
    window.picture("machine-died");
    window.click("[data-code=machine_died] button.main");
    window.read("main", "No containers yet");
    window.miss("[data-code]");
}

#[test]
fn a_full_disk_is_said() {
    if !need_root() || !need_image() {
        return;
    }
    let disk = std::cell::RefCell::new(None);
    let window = started_with(Beside::BerthAndImage, |window| {
        let folder = window.home().join(".berth/data");
        std::fs::create_dir_all(&folder).expect("make the data folder");
        *disk.borrow_mut() = Some(SmallDisk::mount(folder));
    });
    let Some(window) = window else { return };
    window.read("[data-code=disk_full]", "The disk is full");
    assert_eq!(window.run("return document.querySelectorAll('[data-code]').length"), 1);
    window.picture("disk-full");
}

/// A file system that is too small for a machine.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf) -> Self {
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "small"]).arg(&folder).status();
        assert!(mount.expect("run mount").success());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_taken_port_is_named_and_the_way_out_works() {
    if !need_display() {
        return;
    }
    let Some(engine) = Engine::native_with_busybox() else { return };
    let window =
        Window::open(&World { docker_socket: Some(engine.socket().to_path_buf()), ..World::default() });
    engine.ok(&["run", "--detach", "--name", "first", "--publish", "8099:80", "busybox", "sleep", "600"]);
    engine.ok(&["create", "--name", "second", "--publish", "8099:80", "busybox", "sleep", "600"]);
    window.read("[data-name=first] .port", "8099");
    window.read("[data-name=second] .state", "Created");
    window.click("[aria-label='Start second']");
    window.read("[data-code=port_taken]", "Port 8099 is already in use");
    window.read("[data-code=port_taken]", "“second” can’t start");
    window.picture("port-taken");
    engine.ok(&["stop", "--time", "0", "first"]);
    window.click("[data-code=port_taken] button.main");
    window.read("[data-name=second] .state", "Running");
    window.miss("[data-code]");
    eventually("it runs", || (engine.inspect("second", ".State.Running") == "true").then_some(()));
}
