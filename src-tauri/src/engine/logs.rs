//! A container's output, as it comes.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;
use serde::Serialize;
use tauri::ipc::Channel;
use ts_rs::TS;

use crate::desk::Desk;
use crate::failure::Failure;
use crate::news::LogNews;

/// How much of the past a reader gets: what the page keeps anyway.
const TAIL: &str = "2000";
/// The most lines in one message.
const BURST: usize = 512;

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub(crate) struct Line {
    /// When it was written, as RFC 3339; empty when the engine doesn't say.
    pub(crate) at: String,
    /// What was written.
    pub(crate) text: String,
    /// Whether it came over the error stream.
    pub(crate) is_error: bool,
}

/// Follows a container's output on a task of its own; returns the reader's number.
pub(crate) fn follow(desk: &Desk, id: &str, lines: Channel<LogNews>) -> Result<u32, Failure> {
    let task = tauri::async_runtime::spawn(read(desk.docker()?, id.to_owned(), lines));
    Ok(desk.readers.enter(task))
}

async fn read(docker: Docker, id: String, lines: Channel<LogNews>) {
    let options = LogsOptions {
        follow: true,
        stdout: true,
        stderr: true,
        timestamps: true,
        tail: TAIL.to_owned(),
        ..LogsOptions::default()
    };
    let mut output = docker.logs(&id, Some(options)).ready_chunks(BURST);
    while let Some(burst) = output.next().await {
        let mut failure = None;
        let mut fresh = Vec::new();
        for piece in burst {
            match piece {
                Ok(piece) => fresh.extend(split(&piece)),
                Err(error) => failure = Some(Failure::from(error)),
            }
        }
        let told = lines.send(LogNews::Lines { lines: fresh });
        if failure.is_some() {
            drop(lines.send(LogNews::Ended { failure }));
            return;
        }
        if told.is_err() {
            return;
        }
    }
    drop(lines.send(LogNews::Ended { failure: None }));
}

/// The lines of one piece. The engine sends a line at a time; a daemon that doesn't is understood too.
fn split(piece: &LogOutput) -> Vec<Line> {
    let is_error = matches!(piece, LogOutput::StdErr { .. });
    let text = String::from_utf8_lossy(piece.as_ref()).into_owned();
    text.trim_end_matches('\n').split('\n').map(|line| parse(line, is_error)).collect()
}

/// Takes the engine's time off the front of a line.
fn parse(line: &str, is_error: bool) -> Line {
    let line = line.trim_end_matches('\r');
    let (at, text) = match line.split_once(' ') {
        Some((at, text)) if is_a_time(at) => (at, text),
        None if is_a_time(line) => (line, ""),
        _ => ("", line),
    };
    Line { at: at.to_owned(), text: text.to_owned(), is_error }
}

/// `2024-01-01T00:00:00.000000000Z` or close.
fn is_a_time(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.as_bytes().get(10) == Some(&b'T')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_comes_off_a_line() {
        let line = parse("2024-01-01T00:00:00.123456789Z hello world\r", false);
        assert_eq!(line.at, "2024-01-01T00:00:00.123456789Z");
        assert_eq!(line.text, "hello world");
    }

    #[test]
    fn a_line_without_a_time_is_kept_whole() {
        assert_eq!(parse("hello world", true).text, "hello world");
    }

    #[test]
    fn an_empty_line_with_a_time_stays_empty() {
        assert_eq!(parse("2024-01-01T00:00:00.123456789Z", false).text, "");
    }
}
