//! A guest's half of the conversation, message by message.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::io::Errno;
use sharefs::{Server, Share};

pub(crate) const ROOT: u64 = 1;
const ROOM: usize = 1 << 16;

/// A server of one folder, and the folder, with a secret beside it.
pub(crate) struct Guest {
    pub(crate) server: Arc<Server>,
    pub(crate) folder: tempfile::TempDir,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    /// The same in a folder that is there already.
    pub(crate) fn of(folder: tempfile::TempDir) -> Self {
        let inside = folder.path().join("shared");
        fs::create_dir(&inside).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        let share = Share { name: "0".to_owned(), folder: inside };
        Self { server: Arc::new(Server::new(vec![share], 64).unwrap()), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("shared").join(name)
    }

    /// Asks; the payload, or the error.
    pub(crate) fn ask(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let request = request(opcode, node, body);
        let (mut reply, (sender, receiver)) = (Vec::new(), mpsc::channel());
        let later = || {
            let sender = sender.clone();
            Box::new(move |reply: &[u8]| drop(sender.send(reply.to_vec()))) as sharefs::Later
        };
        if !self.server.answer_message(&request, ROOM, &mut reply, &later) {
            reply = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        if reply.is_empty() {
            return Ok(reply);
        }
        let field = |at: usize| i32::from_le_bytes(reply[at..at + 4].try_into().unwrap());
        assert_eq!(usize::try_from(field(0)).unwrap(), reply.len());
        assert_eq!(reply[8..16], 9u64.to_le_bytes());
        match field(4) {
            0 => Ok(reply[16..].to_vec()),
            error => Err(Errno::from_raw_os_error(-error)),
        }
    }

    pub(crate) fn look_up(&self, node: u64, name: &str) -> Result<u64, Errno> {
        // No node: the name leads nowhere, and that may be believed.
        self.entry(node, name).and_then(|(node, ..)| if node == 0 { Err(Errno::NOENT) } else { Ok(node) })
    }

    /// A node, and for how many seconds its name and its attributes may be believed.
    pub(crate) fn entry(&self, node: u64, name: &str) -> Result<(u64, u64, u64), Errno> {
        let reply = self.ask(1, node, format!("{name}\0").as_bytes())?;
        let field = |at: usize| u64::from_le_bytes(reply[at..at + 8].try_into().unwrap());
        Ok((field(0), field(16), field(24)))
    }

    pub(crate) fn shared(&self) -> u64 {
        self.look_up(ROOT, "0").unwrap()
    }
}

/// A request's bytes, whose number is 9.
pub(crate) fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(40 + body.len()).unwrap();
    let mut request = [length.to_le_bytes(), opcode.to_le_bytes()].concat();
    request.extend(9u64.to_le_bytes());
    request.extend(node.to_le_bytes());
    request.extend([0; 16]);
    request.extend(body);
    request
}
