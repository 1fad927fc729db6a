//! Content that is hashed and written by a thread of its own, while whoever makes it makes more.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::BlobWriter;

/// Pieces that may wait to be written.
const WAITING: usize = 4;

/// What is written goes to the thread; none is started for what is written at the end only.
pub(crate) struct Aside<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// Until there is a thread.
    writer: Option<BlobWriter>,
    thread: Option<Writing<'scope>>,
}

struct Writing<'scope> {
    pieces: SyncSender<Vec<u8>>,
    /// Those that were written, to be filled again: the kernel clears each page that is new.
    written_pieces: Receiver<Vec<u8>>,
    written: ScopedJoinHandle<'scope, io::Result<BlobWriter>>,
}

impl<'scope, 'env> Aside<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, writer: BlobWriter) -> Self {
        Self { scope, writer: Some(writer), thread: None }
    }

    /// The writer, with all that it was to write and `rest` behind it.
    pub(super) fn finish(mut self, rest: &[u8]) -> io::Result<BlobWriter> {
        let mut writer = match (self.writer.take(), self.thread.take()) {
            (Some(writer), _) => writer,
            (None, thread) => end(thread)?,
        };
        writer.write_all(rest)?;
        Ok(writer)
    }

    fn start(&self, mut writer: BlobWriter) -> Writing<'scope> {
        let (pieces, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (back, written_pieces) = channel();
        let written = self.scope.spawn(move || {
            for piece in waiting {
                writer.write_all(&piece)?;
                // Nobody filling it any more is fine.
                drop(back.send(piece));
            }
            Ok(writer)
        });
        Writing { pieces, written_pieces, written }
    }
}

impl Write for Aside<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(writer) = self.writer.take() {
            self.thread = Some(self.start(writer));
        }
        let Some(thread) = &self.thread else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut piece = thread.written_pieces.try_recv().unwrap_or_default();
        piece.clear();
        piece.extend_from_slice(bytes);
        if thread.pieces.send(piece).is_err() {
            // It has ended: why is what went wrong.
            end(self.thread.take())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn end(thread: Option<Writing<'_>>) -> io::Result<BlobWriter> {
    let Some(Writing { pieces, written, .. }) = thread else { return Err(io::ErrorKind::BrokenPipe.into()) };
    drop(pieces);
    written.join().map_err(|_| io::Error::other("storing content was interrupted"))?
}
