//! Fetching the page as a browser would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::interrupt;

/// The server in the container listens within this, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);
/// Only this page holds it.
const MARK: &str = "You are talking to a container.";

/// The page, as soon as the container serves it.
pub(super) fn fetch(port: u16) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        interrupt::check()?;
        match ask(port) {
            Ok(page) if page.contains(MARK) && page.trim_end().ends_with("</html>") => return Ok(page),
            Ok(page) if Instant::now() > deadline => {
                bail!("localhost:{port} answers something else: {}", page.lines().next().unwrap_or_default())
            }
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("fetch http://localhost:{port}"));
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Its heading, to show that it is the container's.
pub(super) fn title(page: &str) -> &str {
    let heading = page.split_once("<h1>").and_then(|(_, rest)| rest.split_once("</h1>"));
    heading.map_or("", |(heading, _)| heading)
}
