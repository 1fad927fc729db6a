//! `berth-guard --scribe <dir>`: writes the log of a container that must never wait for it.
//!
//! Records come through standard input. A byte goes to standard output whenever more of them are in the file.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use berth_guard::log::Record;
use berth_guard::{LAUNCH_FILE, Launch};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::WaitOptions;

use crate::hold::error::{Doing, Error};
use crate::log_file::{FileLog, end_with_parent};

/// The argument that makes this program a scribe.
pub(crate) const SCRIBE: &str = "--scribe";
/// How long the last compression may take, while the guard waits a little longer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How much is read at a time.
const BLOCK: usize = 64 * 1024;

/// Everything, in order.
pub(crate) fn run(folder: &Path) -> Result<(), Error> {
    end_with_parent()?;
    let _ = rustix::thread::set_name(c"berth-scribe");
    let launch: Launch = crate::hold::read_json(&folder.join(LAUNCH_FILE))?;
    let children = crate::sys::child_events().doing("watch for ended children")?;
    let Some(mut log) = FileLog::open(&launch.log).doing("open the log")? else { return Ok(()) };
    let (mut block, mut records) = (vec![0; BLOCK], Vec::new());
    loop {
        let mut set = [
            PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN),
            PollFd::new(&children, PollFlags::IN),
        ];
        wait(&mut set, None)?;
        let [has_records, has_ended] = set.map(|polled| !polled.revents().is_empty());
        if has_ended {
            tell(reap(children.as_fd(), &mut log));
        }
        if has_records {
            match rustix::io::read(rustix::stdio::stdin(), &mut block[..]) {
                Ok(0) => break,
                Ok(length) => records.extend_from_slice(&block[..length]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno).doing("read records"),
            }
            tell(write(&mut records, &mut log));
        }
    }
    finish(children.as_fd(), &mut log)
}

/// Writes every whole record, and says so.
fn write(records: &mut Vec<u8>, log: &mut FileLog) -> std::io::Result<()> {
    let mut start = 0;
    let mut kept = Ok(());
    while let Some((length, record)) = Record::decode(&records[start..]) {
        start += length;
        if let Some(Record { stream, time, bytes }) = record {
            kept = kept.and_then(|()| log.append(stream, time, &bytes));
        }
    }
    records.drain(..start);
    kept.and_then(|()| log.flush())?;
    // With a full pipe, the guard has something to hear already.
    let _ = rustix::io::write(rustix::stdio::stdout(), &[1]);
    Ok(())
}

fn reap(children: std::os::fd::BorrowedFd<'_>, log: &mut FileLog) -> std::io::Result<()> {
    let _ = rustix::io::read(children, &mut [0_u8; 1024][..]);
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        log.child_ended(pid.as_raw_nonzero().get(), status.exit_status() == Some(0))?;
    }
    Ok(())
}

/// Waits for what is being compressed.
fn finish(children: std::os::fd::BorrowedFd<'_>, log: &mut FileLog) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while log.is_busy() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            log.give_up();
            break;
        }
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        wait(&mut [PollFd::from_borrowed_fd(children, PollFlags::IN)], Some(&left))?;
        tell(reap(children, log));
    }
    Ok(())
}

fn wait(set: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<(), Error> {
    match rustix::event::poll(set, timeout) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).doing("wait for records"),
    }
}

/// A full disk must not end the log for good, so a failure is only told.
fn tell(result: std::io::Result<()>) {
    if let Err(error) = result {
        eprintln!("berth-guard: write the log: {error}");
    }
}
