use std::io;
use std::path::PathBuf;

use rustix::mount::UnmountFlags;

use super::*;

const INIT: u32 = 26;

/// A mount that nobody serves yet. When dropped, it is unmounted.
struct Mounted {
    line: Arc<Line>,
    place: tempfile::TempDir,
}

impl Mounted {
    /// None, with the reason printed, where this machine can't mount.
    fn new(patience: Duration) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: mounting /dev/fuse needs root");
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let line = Arc::new(Line::mount(place.path(), patience).unwrap());
        Arc::clone(&line).begin().unwrap();
        Some(Self { line, place })
    }

    /// A stream of the host's.
    fn host(&self) -> Stream {
        let (host, ours) = UnixStream::pair().unwrap();
        host.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let line = Arc::clone(&self.line);
        std::thread::spawn(move || line.serve(ours));
        Stream(host)
    }

    /// Looks at a name, on a thread of its own.
    fn look(&self, name: &str) -> std::thread::JoinHandle<io::Result<std::fs::Metadata>> {
        let path: PathBuf = self.place.path().join(name);
        std::thread::spawn(move || std::fs::symlink_metadata(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.place.path(), UnmountFlags::DETACH);
    }
}

/// What the host has of it.
struct Stream(UnixStream);

impl Stream {
    /// The next request's operation and number.
    fn next(&mut self) -> (u32, u64) {
        let mut header = [0; 40];
        self.0.read_exact(&mut header).unwrap();
        let length = u32::from_le_bytes(field(&header, 0).unwrap()) as usize;
        self.0.read_exact(&mut vec![0; length - header.len()]).unwrap();
        (u32::from_le_bytes(field(&header, 4).unwrap()), u64::from_le_bytes(field(&header, 8).unwrap()))
    }

    fn reply(&mut self, unique: u64, error: i32, payload: &[u8]) {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let reply = [&length.to_le_bytes()[..], &error.to_le_bytes(), &unique.to_le_bytes(), payload];
        self.0.write_all(&reply.concat()).unwrap();
    }

    /// Answers the kernel's greeting.
    fn greet(&mut self) {
        let (opcode, unique) = self.next();
        assert_eq!(opcode, INIT);
        let mut payload = [0; 64];
        for (at, value) in [(0, 7_u32), (4, 38), (8, 128 << 10), (20, 1 << 20)] {
            payload[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        self.reply(unique, 0, &payload);
    }

    /// Says of what is looked at, the folder's own attributes or the name in it, that it isn't there.
    fn tell_of_none(&mut self) {
        let (_, unique) = self.next();
        self.reply(unique, -Errno::NOENT.raw_os_error(), &[]);
    }
}

fn error(looked: std::thread::JoinHandle<io::Result<std::fs::Metadata>>) -> Option<i32> {
    looked.join().unwrap().unwrap_err().raw_os_error()
}

#[test]
fn what_is_under_way_fails_with_its_stream_and_the_next_one_goes_on() {
    let Some(mounted) = Mounted::new(Duration::from_secs(20)) else { return };
    let mut host = mounted.host();
    host.greet();
    let looked = mounted.look("a");
    host.next();
    drop(host);
    assert_eq!(error(looked), Some(Errno::NOTCONN.raw_os_error()));
    // Asked while nobody is there, and answered by who comes then.
    let looked = mounted.look("b");
    let mut host = mounted.host();
    host.tell_of_none();
    assert_eq!(error(looked), Some(Errno::NOENT.raw_os_error()));
}

#[test]
fn a_host_that_comes_again_takes_the_place_of_its_old_stream() {
    let Some(mounted) = Mounted::new(Duration::from_secs(20)) else { return };
    let mut old = mounted.host();
    old.greet();
    let looked = mounted.look("a");
    old.next();
    let mut new = mounted.host();
    assert_eq!(error(looked), Some(Errno::NOTCONN.raw_os_error()));
    assert_eq!(old.0.read(&mut [0]).unwrap(), 0);
    let looked = mounted.look("b");
    new.tell_of_none();
    assert_eq!(error(looked), Some(Errno::NOENT.raw_os_error()));
}

#[test]
fn a_host_that_stays_away_is_an_error() {
    let Some(mounted) = Mounted::new(Duration::from_millis(50)) else { return };
    let mut host = mounted.host();
    host.greet();
    drop(host);
    // Whether that end was noticed before or after: nobody comes.
    assert_eq!(error(mounted.look("a")), Some(Errno::NOTCONN.raw_os_error()));
}

#[test]
fn a_reply_that_is_none_ends_the_stream() {
    let Some(mounted) = Mounted::new(Duration::from_secs(20)) else { return };
    let mut host = mounted.host();
    host.greet();
    let looked = mounted.look("a");
    host.next();
    host.0.write_all(&[0xff; HEADER]).unwrap();
    assert_eq!(error(looked), Some(Errno::NOTCONN.raw_os_error()));
}
