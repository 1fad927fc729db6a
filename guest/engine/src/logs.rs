//! `docker logs`: what a container wrote, from its log, and what it still writes.
//!
//! The file is the truth, also while following: the guard's stream only says that there is more to read. So
//! nothing is lost or told twice, whichever of engine and guard was restarted in between.

use std::sync::Arc;

use berth_guard::log::{LogReader, Record, Selection};
use tokio::sync::mpsc;

use crate::container::Container;
use crate::output::Stream;
use crate::{Engine, Error};

/// Records read at once.
const BATCH: usize = 256;

/// Which part of a log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Go on with what is still to come.
    pub follow: bool,
    /// What came out of stdout.
    pub stdout: bool,
    /// What came out of stderr.
    pub stderr: bool,
    /// Not before this moment, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Not after this moment, in nanoseconds since 1970.
    pub until: Option<u64>,
    /// Only the last so many lines.
    pub tail: Option<u64>,
}

/// One line of a log, or a part of a long one.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Where it came out.
    pub stream: Stream,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// With its newline.
    pub bytes: Vec<u8>,
}

/// A log that is being read.
#[derive(Debug)]
pub struct Logs {
    /// Its lines; the channel closes at the end.
    pub lines: mpsc::Receiver<LogLine>,
    /// Whether the container has a terminal: then lines aren't multiplexed.
    pub terminal: bool,
    /// What `--details` tells of every line: name and value.
    pub details: Vec<(String, String)>,
}

impl Engine {
    /// Reads a container's log.
    ///
    /// # Errors
    /// When its log driver keeps nothing to read, or the file can't be opened.
    pub async fn logs(&self, name: &str, options: LogOptions) -> Result<Logs, Error> {
        let container = self.containers.find(name)?;
        let (terminal, details) =
            container.with(|record| (record.config.tty, crate::log_details::of(record)));
        let selection = Selection { since: options.since, until: options.until, tail: options.tail };
        let driver = self.log_driver(&container)?;
        let opened = tokio::task::spawn_blocking(move || LogReader::open(&driver, selection)).await?;
        let Some(reader) = opened.map_err(|source| Error::Log { source })? else {
            return Err(Error::LogUnreadable);
        };
        let (sender, lines) = mpsc::channel(BATCH);
        tokio::spawn(read(container, reader, options, sender));
        Ok(Logs { lines, terminal, details })
    }
}

/// Sends lines until the end, or until nobody listens.
async fn read(
    container: Arc<Container>,
    mut reader: LogReader,
    options: LogOptions,
    lines: mpsc::Sender<LogLine>,
) {
    let mut moments = container.moments();
    let mut written = container.writes();
    loop {
        // Looked at before reading: what comes in between is a reason to read again.
        let running = moments.borrow_and_update().running;
        written.borrow_and_update();
        let read = tokio::task::spawn_blocking(move || {
            let batch = batch(&mut reader);
            (reader, batch)
        });
        let Ok((back, batch)) = read.await else { return };
        reader = back;
        let at_end = batch.len() < BATCH;
        for Record { stream, time, bytes } in batch {
            let stream = match stream {
                berth_guard::Stream::Stdout if options.stdout => Stream::Stdout,
                berth_guard::Stream::Stderr if options.stderr => Stream::Stderr,
                _ => continue,
            };
            if lines.send(LogLine { stream, time, bytes }).await.is_err() {
                return;
            }
        }
        if at_end {
            if !options.follow || reader.is_done() || !running {
                return;
            }
            tokio::select! {
                _ = moments.changed() => {}
                _ = written.changed() => {}
                () = lines.closed() => return,
            }
        }
    }
}

fn batch(reader: &mut LogReader) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < BATCH {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a part of a log is lost");
                if error.kind() != std::io::ErrorKind::InvalidData {
                    break;
                }
            }
        }
    }
    records
}
