//! The engine's part, blocking and with deadlines.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_guard::frame::Message;
use berth_guard::{CONTAINER, Decoder, ExecRequest, ExitRecord, FromGuard, SOCKET_FILE, State, ToGuard};

use berth_runtime::cgroup::{Cgroup, CgroupRoot};

use crate::bundle::{self, Bundle};

/// No single step takes longer, on a loaded machine either.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running guard and a connection to it.
pub(crate) struct Guard {
    pub(crate) program: Child,
    pub(crate) folder: PathBuf,
    socket: UnixStream,
    /// Lives as long as the guard, also when the test has let go of the bundle.
    _kept: Arc<tempfile::TempDir>,
    cgroup: Option<Cgroup>,
    decoder: Decoder,
    /// Output so far, by process and stream mixed.
    pub(crate) output: Vec<(u32, Vec<u8>)>,
}

impl Guard {
    /// Starts the guard and connects.
    pub(crate) fn launch(bundle: &Bundle) -> Self {
        bundle.write();
        let folder = bundle.folder.path().to_owned();
        let mut program = Command::new(env!("CARGO_BIN_EXE_berth-guard"))
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(program.stdout.take().unwrap());
        let mut number = [0; 4];
        said.read_exact(&mut number).unwrap();
        assert_eq!(u32::from_be_bytes(number), program.id());
        let mut ready = String::new();
        said.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let socket = connect(&folder);
        let kept = bundle.folder.clone();
        let mount = bundle.launch.cgroup_mount.clone();
        let cgroup = mount.map(|mount| CgroupRoot { mount }.at(&bundle.launch.cgroup_path));
        Self { program, folder, socket, _kept: kept, cgroup, decoder: Decoder::default(), output: Vec::new() }
    }

    /// Starts the guard, hears that the container is made, starts it.
    pub(crate) fn start(bundle: &Bundle) -> Self {
        let mut guard = Self::launch(bundle);
        let hello = guard.hear();
        assert!(matches!(hello, FromGuard::Hello { state: State::Created { .. }, .. }), "{hello:?}");
        guard.say(&ToGuard::Start);
        let started = guard.hear_until(|message| !matches!(message, FromGuard::Output { .. }));
        assert!(matches!(started, FromGuard::Started { .. }), "{started:?}");
        guard
    }

    /// Connects anew, as an engine does that has crashed.
    pub(crate) fn reconnect(&mut self) {
        self.socket = connect(&self.folder);
        self.decoder = Decoder::default();
    }

    /// Hangs up without another word.
    pub(crate) fn hang_up(&mut self) {
        self.socket = UnixStream::pair().unwrap().0;
    }

    pub(crate) fn say(&mut self, message: &ToGuard) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    pub(crate) fn stdin(&mut self, process: u32, text: &str) {
        self.say(&ToGuard::Stdin { process, bytes: text.into() });
    }

    pub(crate) fn exec(&mut self, process: u32, args: &[&str], terminal: bool, stdin: bool) {
        let spec = serde_json::from_value(bundle::process(args)).unwrap();
        let request = Box::new(ExecRequest { spec, terminal, size: None, stdin });
        self.say(&ToGuard::Exec { process, request });
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> FromGuard {
        let mut block = [0; 65536];
        loop {
            if let Some(message) = self.decoder.next_message::<FromGuard>().unwrap() {
                if let FromGuard::Output { process, bytes, .. } = &message {
                    self.output.push((*process, bytes.clone()));
                }
                return message;
            }
            let length = self.socket.read(&mut block).expect("the guard speaks in time");
            assert!(length > 0, "the guard hung up; output so far: {:?}", self.all_output());
            self.decoder.feed(&block[..length]);
        }
    }

    /// The next message that `wanted` accepts; others are passed over.
    pub(crate) fn hear_until(&mut self, wanted: impl Fn(&FromGuard) -> bool) -> FromGuard {
        loop {
            let message = self.hear();
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Reads on until the output of `process` contains `text`.
    pub(crate) fn await_output(&mut self, process: u32, text: &str) {
        while !self.output_of(process).contains(text) {
            self.hear();
        }
    }

    /// Reads on until the process is over.
    pub(crate) fn await_exit(&mut self, process: u32) -> ExitRecord {
        let exited = self
            .hear_until(|message| matches!(message, FromGuard::Exited { process: of, .. } if *of == process));
        let FromGuard::Exited { exit, .. } = exited else { unreachable!() };
        exit
    }

    pub(crate) fn output_of(&self, process: u32) -> String {
        let bytes: Vec<u8> = self
            .output
            .iter()
            .filter(|(of, _)| *of == process)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn all_output(&self) -> String {
        self.output_of(CONTAINER)
    }

    /// Acknowledges the container's exit; the guard ends.
    pub(crate) fn finish(mut self) {
        self.say(&ToGuard::Ack { process: CONTAINER });
        assert!(self.await_end().success());
    }

    /// Waits for the guard program to end.
    pub(crate) fn await_end(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the guard doesn't end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        // A guard that was killed leaves its cgroup to the engine.
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
            let _ = cgroup.await_empty(PATIENCE);
            let _ = cgroup.remove();
        }
    }
}

fn connect(folder: &Path) -> UnixStream {
    let socket = UnixStream::connect(folder.join(SOCKET_FILE)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Runs a container's script to its end; its exit and output.
pub(crate) fn run(bundle: &Bundle) -> (ExitRecord, String) {
    let mut guard = Guard::start(bundle);
    let exit = guard.await_exit(CONTAINER);
    let output = guard.output_of(CONTAINER);
    guard.finish();
    (exit, output)
}
