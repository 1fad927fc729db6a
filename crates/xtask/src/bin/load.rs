//! What the benches of networks send and receive: a small HTTP server and its client, in one static program that runs in a
//! container, in the VM and on this machine alike. The standard library alone, so that `rustc` makes it in a second.
//!
//! ```text
//! load serve PORT                          answers every request with a page; GET /N with N bytes, PUT /N when it has
//!                                          taken N bytes; and sends every datagram back
//! load requests ADDRESS CONNECTIONS SECS   prints requests per second on connections that stay
//! load connections ADDRESS THREADS SECS    prints requests per second, each on a connection of its own
//! load bulk ADDRESS BYTES                  prints bytes per second of one download
//! load upload ADDRESS BYTES                prints bytes per second of one upload
//! load datagrams ADDRESS THREADS SECS      prints datagrams that came back per second
//! load idle ADDRESS COUNT                  holds idle connections until its input ends; prints how many, and for each line
//!                                          of its input how many still answer
//! ```

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The page is as long as nginx's first one.
const PAGE: usize = 612;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
/// The server closes after its answer: whoever closes first keeps the connection's ports for a minute, and a client has
/// 28,000 of them.
const ONLY_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
/// Nothing that answers takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A datagram is lost when it isn't back by then, and so many in turn are too many.
const DATAGRAM_PATIENCE: Duration = Duration::from_millis(500);
const MOST_LOST: u32 = 20;
/// What one write of a download holds.
const PART: usize = 128 * 1024;
/// Thousands of connections have a thread each.
const STACK: usize = 128 * 1024;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port] => serve(port.parse()?),
        ["requests", address, threads, seconds] => {
            print(rate(address.parse()?, threads.parse()?, seconds.parse()?, requests)?)
        }
        ["connections", address, threads, seconds] => {
            print(rate(address.parse()?, threads.parse()?, seconds.parse()?, connections)?)
        }
        ["bulk", address, bytes] => print(bulk(address.parse()?, bytes.parse()?)?),
        ["upload", address, bytes] => print(upload(address.parse()?, bytes.parse()?)?),
        ["datagrams", address, threads, seconds] => {
            print(rate(address.parse()?, threads.parse()?, seconds.parse()?, datagrams)?)
        }
        ["idle", address, count] => idle(address.parse()?, count.parse()?),
        _ => Err("load serve|requests|connections|bulk|upload|datagrams|idle …".into()),
    }
}

fn print(figure: f64) -> Outcome {
    Ok(writeln!(io::stdout(), "{figure:.0}")?)
}

fn serve(port: u16) -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    std::thread::spawn(move || send_back(&socket));
    loop {
        let (stream, _) = listener.accept()?;
        // A client that goes away ends its thread alone.
        std::thread::Builder::new().stack_size(STACK).spawn(move || drop(answer(stream)))?;
    }
}

fn send_back(socket: &UdpSocket) {
    let mut datagram = [0; 2048];
    loop {
        // What a peer that is gone left behind is an error of the next call, and nobody else's.
        if let Ok((length, peer)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], peer);
        }
    }
}

/// Answers requests until the client closes or wants no more.
fn answer(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if client.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let named = |method: &str| line.strip_prefix(method)?.split(' ').next()?.parse::<usize>().ok();
        let (wanted, brought) = (named("GET /"), named("PUT /"));
        let mut is_last = false;
        while line.trim_end() != "" {
            line.clear();
            client.read_line(&mut line)?;
            is_last |= line.trim_end() == "Connection: close";
        }
        if let Some(brought) = brought {
            take(&mut client, brought as u64)?;
        }
        let length = wanted.unwrap_or(PAGE);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let part = vec![b'x'; length.min(PART)];
        let first = [head.as_bytes(), &part].concat();
        client.get_mut().write_all(&first)?;
        let mut left = length - part.len();
        while left > 0 {
            let now = left.min(part.len());
            client.get_mut().write_all(&part[..now])?;
            left -= now;
        }
        if is_last {
            return Ok(());
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether there is time left, and where a thread counts what it has done.
struct Run {
    over: AtomicBool,
    done: AtomicU64,
}

/// What `threads` do in a second.
fn rate(
    address: SocketAddr,
    threads: usize,
    seconds: u64,
    work: fn(SocketAddr, &Run) -> io::Result<()>,
) -> Outcome<f64> {
    let run = Run { over: AtomicBool::new(false), done: AtomicU64::new(0) };
    let run = &run;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(move || work(address, run))).collect();
        // The first moments belong to handshakes.
        std::thread::sleep(Duration::from_millis(500));
        let (began, before) = (Instant::now(), run.done.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_secs(seconds));
        let done = run.done.load(Ordering::Relaxed) - before;
        let took = began.elapsed().as_secs_f64();
        run.over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| "a client panicked")??;
        }
        Ok(done as f64 / took)
    })
}

fn requests(address: SocketAddr, run: &Run) -> io::Result<()> {
    let mut server = BufReader::new(connect(address)?);
    while !run.over.load(Ordering::Relaxed) {
        ask(&mut server, REQUEST)?;
        run.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn connections(address: SocketAddr, run: &Run) -> io::Result<()> {
    while !run.over.load(Ordering::Relaxed) {
        let mut server = BufReader::new(connect(address)?);
        ask(&mut server, ONLY_REQUEST)?;
        if !server.fill_buf()?.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        run.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends one request and takes its answer; returns its length.
fn ask(server: &mut BufReader<TcpStream>, request: &[u8]) -> io::Result<u64> {
    server.get_mut().write_all(request)?;
    hear(server)
}

/// Takes an answer; returns its length.
fn hear(server: &mut BufReader<TcpStream>) -> io::Result<u64> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if server.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().map_err(io::Error::other)?,
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    take(server, length)
}

/// Takes exactly so many bytes; returns how many.
fn take(from: &mut impl BufRead, length: u64) -> io::Result<u64> {
    let taken = io::copy(&mut from.take(length), &mut io::sink())?;
    if taken == length { Ok(length) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn bulk(address: SocketAddr, bytes: u64) -> Outcome<f64> {
    let mut server = BufReader::with_capacity(PART, connect(address)?);
    let request = format!("GET /{bytes} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let began = Instant::now();
    let taken = ask(&mut server, request.as_bytes())?;
    Ok(taken as f64 / began.elapsed().as_secs_f64())
}

fn upload(address: SocketAddr, bytes: u64) -> Outcome<f64> {
    let mut server = BufReader::new(connect(address)?);
    let began = Instant::now();
    let request = format!("PUT /{bytes} HTTP/1.1\r\nHost: bench\r\n\r\n");
    server.get_mut().write_all(request.as_bytes())?;
    let part = vec![b'x'; PART];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PART as u64) as usize;
        server.get_mut().write_all(&part[..now])?;
        left -= now as u64;
    }
    hear(&mut server)?;
    Ok(bytes as f64 / began.elapsed().as_secs_f64())
}

fn datagrams(address: SocketAddr, run: &Run) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(DATAGRAM_PATIENCE))?;
    let mut lost = 0;
    while !run.over.load(Ordering::Relaxed) {
        socket.send(REQUEST)?;
        match socket.recv(&mut [0; 2048]) {
            Ok(_) => {
                run.done.fetch_add(1, Ordering::Relaxed);
                lost = 0;
            }
            Err(error) if lost >= MOST_LOST => return Err(error),
            Err(_) => lost += 1,
        }
    }
    Ok(())
}

fn idle(address: SocketAddr, count: usize) -> Outcome {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut server = BufReader::new(connect(address)?);
        ask(&mut server, REQUEST)?;
        held.push(server);
    }
    writeln!(io::stdout(), "{}", held.len())?;
    for line in io::stdin().lines() {
        line?;
        let answers = held.iter_mut().map(|server| ask(server, REQUEST));
        writeln!(io::stdout(), "{}", answers.filter(Result::is_ok).count())?;
    }
    Ok(())
}
