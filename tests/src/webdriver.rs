//! A WebDriver client (W3C WebDriver) of the few commands that the window's tests need: one HTTP request per
//! command over a plain connection, since the driver runs on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session of a driver.
#[derive(Debug)]
pub struct Session {
    port: u16,
    id: String,
}

/// An element of the page.
#[derive(Debug, Clone)]
pub struct Element(String);

impl Session {
    /// Starts the program `binary` under the driver at `port`.
    ///
    /// # Errors
    /// When the driver isn't there or can't start the program.
    pub fn start(port: u16, binary: &str) -> Result<Self, String> {
        let options = json!({ "binary": binary, "args": [] });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let session = send(port, "POST", "/session", Some(&wanted))?;
        let id = session["sessionId"].as_str().ok_or("the driver names no session")?.to_owned();
        Ok(Self { port, id })
    }

    /// The elements that a CSS selector finds, in the page's order.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn find(&self, css: &str) -> Result<Vec<Element>, String> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": css }))?;
        let ids = found.as_array().cloned().unwrap_or_default();
        Ok(ids.iter().filter_map(|id| id[ELEMENT].as_str()).map(|id| Element(id.to_owned())).collect())
    }

    /// Clicks on an element.
    ///
    /// # Errors
    /// When it isn't there or lies under another one.
    pub fn click(&self, element: &Element) -> Result<(), String> {
        self.post(&format!("/element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Presses and lifts keys on whatever has the focus. Special keys are WebDriver's code points.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn press(&self, keys: &str) -> Result<(), String> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }))
            .map(drop)
    }

    /// Runs a script in the page; returns what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub fn run(&self, script: &str) -> Result<Value, String> {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Gives the window a size.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn resize(&self, width: u32, height: u32) -> Result<(), String> {
        self.post("/window/rect", &json!({ "width": width, "height": height })).map(drop)
    }

    /// A picture of the page, as PNG in base64.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn picture(&self) -> Result<String, String> {
        let picture = self.send("GET", "/screenshot", None)?;
        Ok(picture.as_str().unwrap_or_default().to_owned())
    }

    /// Ends the program.
    ///
    /// # Errors
    /// When the driver is gone.
    pub fn end(&self) -> Result<(), String> {
        self.send("DELETE", "", None).map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.send("POST", path, Some(body))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        send(self.port, method, &format!("/session/{}{path}", self.id), body)
    }
}

/// One command; returns its value.
fn send(port: u16, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let answer = exchange(port, method, path, body).map_err(|error| format!("{method} {path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{path}: no answer"))?;
    let body: Value = serde_json::from_str(body).map_err(|error| format!("{path}: {error}: {body}"))?;
    let value = body["value"].clone();
    if head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.0 200") {
        Ok(value)
    } else {
        Err(format!("{path}: {}: {}", value["error"], value["message"]))
    }
}

fn exchange(port: u16, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    // The driver may keep the connection open whatever was asked: the announced length is the end.
    while !is_whole(&answer) {
        match stream.read(&mut piece)? {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether the answer has its head and as many bytes as the head announces.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length
        .and_then(|length| length.trim().parse::<usize>().ok())
        .is_some_and(|length| answer.len() >= end + 4 + length)
}
