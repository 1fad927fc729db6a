//! The Docker API without a client program: HTTP/1.1 on one connection, as much of it as the measured calls need.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// No measured call takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to an engine.
pub(super) struct Api {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Api {
    /// Connects.
    pub(super) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream =
            UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket: socket.to_path_buf(), stream: BufReader::new(stream) })
    }

    /// Calls; what it answers, as JSON, null when there is no body. A status that isn't a success is an error.
    pub(super) fn call(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(method, path, body)?;
        let bytes = self.receive().with_context(|| format!("{method} {path}"))?;
        if bytes.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&bytes)?) }
    }

    /// Calls what answers with a stream, on a connection of its own; waits for its end.
    pub(super) fn stream(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let mut connection = Self::connect(&self.socket)?;
        connection.send("POST", path, body)?;
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        Ok(())
    }

    fn send(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<()> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let status = self.line()?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let header = self.line()?.to_lowercase();
            match header.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("transfer-encoding", "chunked")) => is_chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let body = if is_chunked { self.chunks()? } else { self.bytes(length)? };
        if !status.contains(" 20") {
            bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).context("a chunk's length")?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn bytes(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the engine closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}
