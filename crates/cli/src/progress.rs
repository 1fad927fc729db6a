//! Progress of long operations: one JSON object per line from the engine, shown as Docker shows it.

use std::collections::HashMap;
use std::io::Write;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::failure::Failure;
use crate::{quantity, terminal};

/// A narrower terminal has no room for the bar.
const ROOM_FOR_BAR: usize = 110;
/// The bar's length.
const BAR: usize = 50;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Message {
    id: String,
    status: String,
    stream: String,
    progress_detail: Option<Detail>,
    error_detail: Option<ErrorDetail>,
    aux: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: i64,
    total: i64,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: String,
}

/// Shows a stream of messages on `out` until it ends; `fancy` when that is a terminal.
pub(crate) async fn show(
    mut body: Incoming,
    out: &mut (impl Write + Send),
    fancy: bool,
) -> Result<(), Failure> {
    let mut display = Display { lines: HashMap::new(), fancy };
    let mut pending = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::from_error)?;
        pending.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                let message = serde_json::from_slice(&line).map_err(Failure::from_error)?;
                display.message(&message, out)?;
            }
        }
    }
    Ok(())
}

/// Which line of the terminal shows what.
struct Display {
    lines: HashMap<String, usize>,
    fancy: bool,
}

impl Display {
    fn message(&mut self, message: &Message, out: &mut impl Write) -> Result<(), Failure> {
        if message.aux.is_some() {
            return Ok(());
        }
        let mut up = 0;
        if !message.id.is_empty() && message.progress_detail.is_some() {
            let count = self.lines.len();
            let line = *self.lines.entry(message.id.clone()).or_insert(count);
            if self.fancy && line == count {
                writeln!(out)?;
            }
            up = self.lines.len() - line;
            if self.fancy {
                write!(out, "\x1b[{up}A")?;
            }
        } else {
            self.lines.clear();
        }
        self.print(message, out)?;
        if !message.id.is_empty() && self.fancy && up > 0 {
            write!(out, "\x1b[{up}B")?;
        }
        out.flush()?;
        Ok(())
    }

    fn print(&self, message: &Message, out: &mut impl Write) -> Result<(), Failure> {
        if let Some(error) = &message.error_detail {
            return Err(Failure::new(&error.message));
        }
        let progress = message.progress_detail.as_ref();
        let bar = progress.map(|detail| detail.shown(terminal::columns())).unwrap_or_default();
        let mut end = "";
        if self.fancy && message.stream.is_empty() && progress.is_some() {
            write!(out, "\x1b[2K\r")?;
            end = "\r";
        } else if !bar.is_empty() {
            return Ok(());
        }
        if !message.id.is_empty() {
            write!(out, "{}: ", message.id)?;
        }
        if progress.is_some() && self.fancy {
            write!(out, "{} {bar}{end}", message.status)?;
        } else if !message.stream.is_empty() {
            write!(out, "{}{end}", message.stream)?;
        } else {
            writeln!(out, "{}{end}", message.status)?;
        }
        Ok(())
    }
}

impl Detail {
    /// `[====>   ] 12.3MB/45MB`.
    fn shown(&self, columns: usize) -> String {
        if self.current <= 0 && self.total <= 0 {
            return String::new();
        }
        let current = quantity::shown(self.current, 4);
        if self.total <= 0 {
            return format!("{current:>8}");
        }
        let done = (self.current as f64 / self.total as f64 * 100.0) as usize / 2;
        let done = done.min(BAR);
        let numbers = if self.current > self.total {
            format!("{current:>8}")
        } else {
            format!("{current:>8}/{}", quantity::shown(self.total, 4))
        };
        if columns <= ROOM_FOR_BAR {
            return numbers;
        }
        format!("[{}>{}] {numbers}", "=".repeat(done), " ".repeat(BAR - done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_it_is_half_a_bar() {
        let detail = Detail { current: 500, total: 1000 };
        assert_eq!(detail.shown(200), format!("[{}>{}]     500B/1kB", "=".repeat(25), " ".repeat(25)));
        assert_eq!(detail.shown(80), "    500B/1kB");
    }
}
