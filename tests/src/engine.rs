//! The engine under test: one of the test's own, run natively in a network namespace and on folders of its own, or
//! the one in the VM that `cargo xtask test` has started (`BERTH_E2E_SOCKET` names its socket).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::condition::eventually;
use crate::guard::{need_program, need_root, program};
use crate::image;

/// Names the Docker socket of a machine to test instead of a native engine.
pub(crate) const SOCKET: &str = "BERTH_E2E_SOCKET";

/// Names the port of this machine's loopback that such a machine may reach.
const HOST_PORT: &str = "BERTH_E2E_HOST_PORT";

/// Names a folder of this machine that such a machine shares.
const SHARED: &str = "BERTH_E2E_SHARED";
/// An engine that listens answers by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// An engine. When dropped, everything in it is removed; a native one ends, and its folders and its network go.
pub struct Engine {
    folder: tempfile::TempDir,
    socket: PathBuf,
    native: Option<Native>,
}

/// A `berth-guest serve` of the test's own.
struct Native {
    process: Child,
    /// Its network namespace, as `ip netns` names it.
    network: String,
    /// What `serve` is told beyond where everything lies.
    more: Vec<String>,
}

/// What a client printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Its standard output, without the last newline.
    pub out: String,
    /// Its standard error, without the last newline.
    pub err: String,
    /// Its exit code.
    pub code: i32,
}

impl Engine {
    /// An engine with `busybox:latest` loaded; none, with the reason printed, where this machine can't run one.
    ///
    /// # Panics
    /// When the engine doesn't come up.
    pub fn with_busybox() -> Option<Self> {
        let engine = Self::start()?;
        engine.load_busybox();
        Some(engine)
    }

    /// Loads `busybox:latest`.
    ///
    /// # Panics
    /// When it can't be loaded.
    pub fn load_busybox(&self) {
        let archive = std::fs::read(image::busybox(self.folder.path())).expect("read the archive");
        // Not by the client: hundreds of tests begin so, and it takes longer to start than the engine to load.
        let loaded = self.exchange("POST /images/load?quiet=1", &[], &archive).expect("an answer");
        assert!(loaded.1.contains("Loaded image: busybox:latest"), "{loaded:?}");
    }

    /// A native engine with busybox, for tests of what a VM hides; none, with the reason printed, elsewhere.
    pub fn native_with_busybox() -> Option<Self> {
        if std::env::var_os(SOCKET).is_some() {
            eprintln!("skipped: this looks at the engine from outside, which the VM doesn't allow");
            return None;
        }
        Self::with_busybox()
    }

    /// The engine in the VM with busybox, for tests of what the VM hides; none, with the reason printed, natively.
    pub fn machine_with_busybox() -> Option<Self> {
        if std::env::var_os(SOCKET).is_none() {
            eprintln!("skipped: natively there is no VM around the engine");
            return None;
        }
        Self::with_busybox()
    }

    /// An engine with busybox whose machine can limit what a container uses; none, with the reason printed, elsewhere.
    pub fn limiting_with_busybox() -> Option<Self> {
        let engine = Self::with_busybox()?;
        if engine.ok(&["info", "--format", "{{.MemoryLimit}} {{.PidsLimit}} {{.CPUCfsQuota}}"])
            == "true true true"
        {
            return Some(engine);
        }
        eprintln!("skipped: this machine has no cgroup v2 controllers; the VM has");
        None
    }

    /// An engine; none, with the reason printed, where this machine can't run one.
    ///
    /// # Panics
    /// When its socket doesn't answer before the deadline.
    pub fn start() -> Option<Self> {
        if let Some(socket) = std::env::var_os(SOCKET) {
            if !need_program("docker") {
                return None;
            }
            let folder = tempfile::tempdir().expect("make a folder for the test");
            return Some(Self { folder, socket: socket.into(), native: None });
        }
        Self::serving(None, &[])
    }

    /// A native engine with this `daemon.json` and further arguments; none, with the reason printed, elsewhere.
    ///
    /// # Panics
    /// When its socket doesn't answer before the deadline.
    pub fn configured(daemon_json: &str, more: &[&str]) -> Option<Self> {
        if std::env::var_os(SOCKET).is_some() {
            eprintln!("skipped: the machine's engine has the configuration of its own user");
            return None;
        }
        Self::serving(Some(daemon_json), more)
    }

    /// Gives an engine with a `daemon.json` another one and tells it so.
    ///
    /// # Panics
    /// When it can't be told.
    pub fn reconfigure(&self, daemon_json: &str) {
        let native = self.native.as_ref().expect("a native engine");
        std::fs::write(self.folder.path().join("daemon.json"), daemon_json).expect("write daemon.json");
        run("kill", &["-HUP", &native.process.id().to_string()]);
    }

    fn serving(daemon_json: Option<&str>, more: &[&str]) -> Option<Self> {
        if !need_program("docker") || !need_root() || !need_program("ip") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the test");
        let network = format!("berth-{}", name_of(folder.path()));
        run("ip", &["netns", "add", &network]);
        run("nsenter", &[&format!("--net=/run/netns/{network}"), "ip", "link", "set", "lo", "up"]);
        let mut more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
        if let Some(text) = daemon_json {
            let file = folder.path().join("daemon.json");
            std::fs::write(&file, text).expect("write daemon.json");
            more.extend(["--config-file".to_owned(), file.to_string_lossy().into_owned()]);
        }
        let process = serve(folder.path(), &network, &more);
        let socket = folder.path().join("docker.sock");
        let engine = Self { folder, socket, native: Some(Native { process, network, more }) };
        engine.wait_until_it_answers();
        Some(engine)
    }

    /// Kills a native engine without a warning, and starts it again on the same folders.
    ///
    /// # Panics
    /// When it doesn't come up again.
    pub fn crash(&mut self) {
        self.stop_answering();
        self.answer_again();
    }

    /// Kills a native engine without a warning.
    ///
    /// # Panics
    /// When it can't be killed.
    pub fn stop_answering(&mut self) {
        let native = self.native.as_mut().expect("a native engine");
        native.process.kill().expect("kill the engine");
        native.process.wait().expect("the engine ends");
    }

    /// Starts an engine that was killed again, on the same folders.
    ///
    /// # Panics
    /// When it doesn't come up.
    pub fn answer_again(&mut self) {
        let native = self.native.as_mut().expect("a native engine");
        native.process = serve(self.folder.path(), &native.network, &native.more);
        self.wait_until_it_answers();
    }

    /// Asks a native engine to end, and waits until it has.
    ///
    /// # Panics
    /// When it can't be asked.
    pub fn end(&mut self) {
        let native = self.native.as_mut().expect("a native engine");
        run("kill", &["-TERM", &native.process.id().to_string()]);
        native.process.wait().expect("the engine ends");
    }

    /// The folder of a native engine with a `daemon.json`, in which that lies.
    pub fn config_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A native engine's process.
    pub fn process(&self) -> Option<u32> {
        self.native.as_ref().map(|native| native.process.id())
    }

    /// A native engine's folder of things that outlive it.
    pub fn data_root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A native engine's folder of things that end with the machine.
    pub fn exec_root(&self) -> PathBuf {
        self.folder.path().join("exec")
    }

    /// The folder of that client's configuration.
    pub fn client_config(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// The real `docker` client, aimed at this engine.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut client = Command::new("docker");
        client
            .args(args)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", self.client_config())
            .stdin(Stdio::null());
        client
    }

    /// Runs the client to its end.
    ///
    /// # Panics
    /// When the client can't be started.
    pub fn docker(&self, args: &[&str]) -> Said {
        said(&self.client(args).output().expect("run docker"))
    }

    /// Runs the client, which must succeed; returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.docker(args);
        assert_eq!(said.code, 0, "docker {}: {} {}", args.join(" "), said.out, said.err);
        said.out
    }

    /// One field of `docker inspect`, as text.
    pub fn inspect(&self, name: &str, field: &str) -> String {
        self.ok(&["inspect", "--format", &format!("{{{{{field}}}}}"), name])
    }

    /// What the engine answers to `GET path`.
    ///
    /// # Panics
    /// When it isn't JSON.
    pub fn get(&self, path: &str) -> serde_json::Value {
        self.call("GET", path, &serde_json::Value::Null).1
    }

    /// What the engine answers to a request with a body of JSON (none when null): the status, and its JSON.
    ///
    /// # Panics
    /// When it isn't JSON.
    pub fn call(&self, method: &str, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.send(&format!("{method} {path}"), &[], &body);
        let json = if text.is_empty() { Ok(serde_json::Value::Null) } else { serde_json::from_str(&text) };
        (status, json.unwrap_or_else(|_| panic!("{method} {path}: {status} {text}")))
    }

    /// What the engine answers to a request such as `POST /build` with these headers: the status and the text.
    ///
    /// # Panics
    /// When it doesn't answer.
    pub fn send(&self, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        self.exchange(request, headers, body.as_bytes()).expect("an answer of the engine")
    }

    fn exchange(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        let own: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        write!(
            stream,
            "{request} HTTP/1.0\r\nContent-Type: application/json\r\n{own}Content-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let answered = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            Some((status, body.to_owned()))
        });
        answered.ok_or_else(|| std::io::Error::other(format!("no answer in HTTP: {answer:?}")))
    }

    /// What a user's machine gets from `http://ADDRESS/`; none while nobody answers.
    ///
    /// # Panics
    /// When bash, whose `/dev/tcp` connects from inside a namespace, can't be started.
    pub fn fetch(&self, address: &str) -> Option<String> {
        let (host, port) = address.rsplit_once(':')?;
        let mut command = self.beside("bash");
        let script =
            r#"exec 3<>"/dev/tcp/$0/$1" || exit; printf 'GET / HTTP/1.0\r\n\r\n' >&3; timeout 5 cat <&3"#;
        let output =
            command.args(["-c", script, host, port]).stderr(Stdio::null()).output().expect("run bash");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        answer.split_once("\r\n\r\n").map(|(_, page)| page.to_owned())
    }

    /// A program that runs where the engine's user does: in a native engine's network namespace, or on this machine
    /// when the engine is in a VM.
    pub fn beside(&self, program: &str) -> Command {
        let Some(native) = &self.native else { return Command::new(program) };
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/run/netns/{}", native.network)).arg(program);
        inside
    }

    /// Whether it is in the VM.
    pub fn is_machine(&self) -> bool {
        self.native.is_none()
    }

    /// The port of this machine's loopback that the VM may reach as `host.docker.internal`; none natively.
    pub fn host_port(&self) -> Option<u16> {
        std::env::var(HOST_PORT).ok().filter(|_| self.native.is_none())?.parse().ok()
    }

    /// A folder of this machine that containers may see.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn shared_folder(&self) -> tempfile::TempDir {
        let shared = std::env::var_os(SHARED).filter(|_| self.native.is_none());
        shared.map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("make a folder to share")
    }

    fn wait_until_it_answers(&self) {
        // Not its socket alone: a guard that is being started holds that of an engine which was killed meanwhile.
        let answers = || -> std::io::Result<()> {
            let mut engine = UnixStream::connect(&self.socket)?;
            engine.set_read_timeout(Some(PATIENCE))?;
            engine.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
            engine.read_exact(&mut [0; 4])
        };
        eventually("the engine answers", || answers().ok());
    }

    /// What `list` tells of at `within`, by its `name`. An engine that doesn't answer has nothing left.
    fn names(&self, list: &str, within: &str, name: &str) -> Vec<String> {
        let told = self.exchange(&format!("GET {list}"), &[], &[]).map(|(_, text)| text).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
        let all = told.pointer(within).and_then(serde_json::Value::as_array).into_iter().flatten();
        all.filter_map(|one| one[name].as_str().map(str::to_owned)).collect()
    }

    /// Removes what is there, if it can be.
    fn remove(&self, path: &str) {
        drop(self.exchange(&format!("DELETE {path}"), &[], &[]));
    }

    /// Removes all that tests leave in the VM's engine, which has the next test's, too.
    fn clear(&self) {
        for network in self.names("/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D", "", "Id") {
            self.remove(&format!("/networks/{network}"));
        }
        for volume in self.names("/volumes", "/Volumes", "Name") {
            self.remove(&format!("/volumes/{volume}"));
        }
        // The newest are first, and none goes before those that were built on it.
        for image in self.names("/images/json?all=1", "", "Id") {
            self.remove(&format!("/images/{image}?force=1"));
        }
    }
}

/// What a finished client printed, and how it ended.
pub fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
    Said { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code().unwrap_or(-1) }
}

/// A name that two tests running at once don't share: six letters and digits.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.trim_start_matches(".tmp").to_ascii_lowercase()
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().expect("start a tool");
    assert!(status.success(), "{program} {}", args.join(" "));
}

fn serve(folder: &Path, network: &str, more: &[String]) -> Child {
    let name = name_of(folder);
    Command::new("nsenter")
        .arg(format!("--net=/run/netns/{network}"))
        .arg(program("berth-guest"))
        .args(["serve", "--listen", &format!("unix://{}", folder.join("docker.sock").display())])
        // Relative, as somebody may type them.
        .args(["--data-root", "data", "--exec-root", "exec"])
        .current_dir(folder)
        .args(["--cgroup-parent", &format!("/berth-test-{name}"), "--name-prefix", &name])
        .args(more)
        .stdin(Stdio::null())
        .spawn()
        .expect("start berth-guest")
}

impl Drop for Engine {
    fn drop(&mut self) {
        let engine = &*self;
        std::thread::scope(|scope| {
            for id in engine.names("/containers/json?all=1", "", "Id") {
                scope.spawn(move || engine.remove(&format!("/containers/{id}?force=1&v=1")));
            }
        });
        if self.is_machine() {
            self.clear();
        }
        let Some(native) = &mut self.native else { return };
        drop(Command::new("kill").args(["-TERM", &native.process.id().to_string()]).status());
        drop(native.process.wait());
        drop(Command::new("umount").args(["--quiet"]).arg(self.folder.path().join("exec/cgroup")).status());
        drop(Command::new("ip").args(["netns", "del", &native.network]).status());
    }
}
