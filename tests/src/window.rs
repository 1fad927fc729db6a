//! The real window on a display of its own, driven through WebKitWebDriver.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::condition::eventually;
use crate::guard::{need_program, program};
use crate::webdriver::{Element, Session};

/// WebDriver's code points of keys.
pub mod key {
    /// Enter.
    pub const ENTER: &str = "\u{E007}";
    /// Escape.
    pub const ESCAPE: &str = "\u{E00C}";
    /// Arrow down.
    pub const DOWN: &str = "\u{E015}";
    /// Delete.
    pub const DELETE: &str = "\u{E017}";
}

/// What the window is told of the world.
#[derive(Debug, Default)]
pub struct World {
    /// A Docker socket that is used whatever the host daemon says.
    pub docker_socket: Option<PathBuf>,
    /// What lies beside the window.
    pub beside: Beside,
}

/// What lies beside the window's program.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// The `berth` command without the VM's image.
    Berth,
    /// The `berth` command and the VM's image.
    BerthAndImage,
    /// The same, but `berth` runs with a `$PATH` that leads nowhere.
    BerthWithoutPath,
    /// The same, but the only emulator in `$PATH` is too old.
    BerthWithOldEmulator,
}

/// A running window with a home of its own. When dropped, a daemon that was started from it, the window, its
/// driver and its display end.
pub struct Window {
    session: Session,
    display: Child,
    folder: tempfile::TempDir,
}

/// Whether this machine can show a window; prints what is missing.
pub fn need_display() -> bool {
    ["xvfb-run", "dbus-run-session", "WebKitWebDriver"].iter().all(|name| need_program(name))
}

impl Window {
    /// Opens the window.
    ///
    /// # Panics
    /// When it doesn't open.
    pub fn open(world: &World) -> Self {
        let folder = tempfile::tempdir().expect("make a folder for the window");
        let port = free_port();
        let binary = lay_programs(folder.path(), world.beside);
        let display = start_display(folder.path(), port, world);
        eventually("the driver listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let session = Session::start(port, &binary.to_string_lossy());
        let session = session.unwrap_or_else(|error| {
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            panic!("the window doesn't open: {error}\n{log}")
        });
        let window = Self { session, display, folder };
        window.resize(1400, 860);
        window
    }

    /// The first element that matches, once it is there.
    ///
    /// # Panics
    /// When it doesn't appear.
    pub fn see(&self, css: &str) -> Element {
        self.until(css, || self.session.find(css).ok()?.into_iter().next())
    }

    /// Waits until an element that matches has a text that contains `text`; returns its whole text.
    ///
    /// # Panics
    /// When it doesn't appear.
    pub fn read(&self, css: &str, text: &str) -> String {
        self.until(&format!("{css} says {text:?}"), || {
            // One command for all texts: an element that a change of the page took away in between is no error.
            let css = serde_json::Value::from(css);
            let script = format!("return [...document.querySelectorAll({css})].map(one => one.innerText)");
            let texts = self.session.run(&script).ok()?;
            let texts = texts.as_array()?.iter().filter_map(serde_json::Value::as_str);
            texts.map(ToOwned::to_owned).find(|found| found.contains(text))
        })
    }

    /// Waits until nothing matches.
    ///
    /// # Panics
    /// When something goes on matching.
    pub fn miss(&self, css: &str) {
        self.until(&format!("{css} is gone"), || self.session.find(css).ok()?.is_empty().then_some(()));
    }

    /// Clicks on the first element that matches, once it is there and can be clicked.
    ///
    /// # Panics
    /// When it can't be clicked.
    pub fn click(&self, css: &str) {
        self.until(&format!("click on {css}"), || {
            let element = self.session.find(css).ok()?.into_iter().next()?;
            self.session.click(&element).ok()
        });
    }

    /// Presses keys on whatever has the focus.
    ///
    /// # Panics
    /// When the page is gone.
    pub fn press(&self, keys: &str) {
        self.session.press(keys).expect("press keys");
    }

    /// Runs a script in the page.
    ///
    /// # Panics
    /// When it throws.
    pub fn run(&self, script: &str) -> serde_json::Value {
        self.session.run(script).expect("run a script")
    }

    /// Gives the window a size.
    ///
    /// # Panics
    /// When the page is gone.
    pub fn resize(&self, width: u32, height: u32) {
        self.session.resize(width, height).expect("resize the window");
    }

    /// Keeps a picture in the folder that `$BERTH_PICTURES` names, if it names one.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("BERTH_PICTURES").map(PathBuf::from) else { return };
        // The driver waits for the next paint, which a page at rest doesn't make: one point of it never rests.
        self.run(
            "if (document.getElementById('restless')) return; const point = document.createElement('div'); \
             point.id = 'restless'; point.style = 'position: fixed; width: 1px; height: 1px; z-index: 99'; \
             document.body.append(point); let n = 0; \
             setInterval(() => (point.style.background = `rgb(128 128 ${n++ % 99} / 2%)`), 50)",
        );
        // Movement of the page comes to rest first.
        std::thread::sleep(std::time::Duration::from_millis(400));
        let encoded = self.session.picture().expect("take a picture");
        let mut decoder = Command::new("base64");
        decoder.arg("--decode").stdin(Stdio::piped());
        let file = File::create(folder.join(format!("{name}.png"))).expect("make the picture's file");
        let mut decoder = decoder.stdout(file).spawn().expect("run base64");
        let mut input = decoder.stdin.take().expect("base64 reads");
        std::io::Write::write_all(&mut input, encoded.as_bytes()).expect("write the picture");
        drop(input);
        decoder.wait().expect("base64 ends");
    }

    /// The window's home, which is also its runtime folder.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// What the browser was asked to open, line by line.
    pub fn opened(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("opened")).unwrap_or_default()
    }

    fn until<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(what, ask)));
        asked.unwrap_or_else(|_| {
            let page = self.session.run("return document.body.innerText").unwrap_or_default();
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!(
                "not seen: {what}\nthe page says:\n{}\nthe window said:\n{log}",
                page.as_str().unwrap_or_default()
            )
        })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        drop(self.session.end());
        let berth = self.folder.path().join("bin/berth");
        if berth.exists() {
            let mut stop = Command::new(berth);
            drop(in_home(stop.arg("stop"), self.folder.path()).stdout(Stdio::null()).status());
        }
        let group = format!("-{}", self.display.id());
        drop(Command::new("kill").args(["-TERM", "--", &group]).status());
        drop(self.display.wait());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("find a free port");
    listener.local_addr().expect("know the port").port()
}

/// A display with a session bus and the driver on it, in a process group of its own.
fn start_display(folder: &Path, port: u16, world: &World) -> Child {
    let log = File::create(folder.join("log")).expect("make the log");
    let mut command = Command::new("xvfb-run");
    command
        .args(["--auto-servernum", "--server-args=-screen 0 1600x1000x24", "dbus-run-session", "--"])
        .args(["WebKitWebDriver", &format!("--port={port}")])
        .env("TAURI_AUTOMATION", "true")
        .env("TAURI_WEBVIEW_AUTOMATION", "true")
        .env("BERTH_DOCKER_SOCKET", world.docker_socket.clone().unwrap_or_default())
        // The language that breaks pages which don't expect it.
        .env("LANG", "C")
        .env_remove("LC_ALL")
        .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
        .env("PATH", lay_browser(folder))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("share the log"))
        .stderr(log)
        .process_group(0);
    in_home(&mut command, folder).spawn().expect("start the display")
}

/// Lays a browser that only writes down what it is asked to open; returns a `$PATH` that finds it first.
fn lay_browser(folder: &Path) -> std::ffi::OsString {
    let programs = folder.join("browser");
    std::fs::create_dir(&programs).expect("make a folder for the browser");
    let opened = folder.join("opened");
    write_script(&programs.join("xdg-open"), &format!("echo \"$1\" >> {}", opened.display()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).expect("a path")
}

/// A command with everything of the user's beneath `folder`.
fn in_home<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("DOCKER_CONFIG", folder.join("docker"))
}

/// Lays the window's program into a folder of its own with what shall be beside it; returns its path.
fn lay_programs(folder: &Path, beside: Beside) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("make a folder for programs");
    let lay = |name: &str, place: &Path| {
        std::fs::copy(program(name), place).expect("lay a program");
    };
    match beside {
        Beside::Nothing => {}
        Beside::Berth | Beside::BerthAndImage => lay("berth", &bin.join("berth")),
        Beside::BerthWithoutPath => lay("berth", &with_path(&bin, Path::new("/nonexistent"))),
        Beside::BerthWithOldEmulator => {
            lay("berth", &with_path(&bin, &bin));
            write_script(&bin.join("qemu-system-x86_64"), "echo 'QEMU emulator version 5.2.0'");
        }
    }
    if !matches!(beside, Beside::Nothing | Beside::Berth) {
        std::os::unix::fs::symlink(program("vm"), bin.join("vm")).expect("lay the VM's image");
    }
    lay("berth-desktop", &bin.join("berth-desktop"));
    bin.join("berth-desktop")
}

/// Lays a `berth` that runs the real one with this `$PATH`; returns where the real one belongs.
fn with_path(bin: &Path, path: &Path) -> PathBuf {
    let real = bin.join("real");
    write_script(&bin.join("berth"), &format!("PATH={} exec {} \"$@\"", path.display(), real.display()));
    real
}

/// Writes a shell script that can be run.
fn write_script(place: &Path, script: &str) {
    std::fs::write(place, format!("#!/bin/sh\n{script}\n")).expect("write a script");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place, executable).expect("make the script executable");
}
