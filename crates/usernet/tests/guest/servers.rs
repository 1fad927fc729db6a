//! Servers on this host's loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

/// Gives each connection to `serve`, on a thread of its own.
pub(crate) fn stream(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(client));
        }
    });
    address
}

/// Sends back what it gets, until the client ends.
pub(crate) fn echo(client: TcpStream) {
    let _ = std::io::copy(&mut &client, &mut &client);
    let _ = client.shutdown(Shutdown::Write);
}

/// Reads all there is, then says how much and its sum.
pub(crate) fn count(mut client: TcpStream) {
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    client.write_all(format!("{} {}", all.len(), sum(&all)).as_bytes()).unwrap();
}

/// Tells one order of bytes from another.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte) + 1))
}

/// Bytes that repeat late.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().zip(0_u32..).map(|(low, high)| low ^ (high >> 16) as u8).take(count).collect()
}

/// Answers datagrams with what `answer` makes of them, if anything.
pub(crate) fn datagrams(
    socket: UdpSocket,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut block = vec![0; 70_000];
        while let Ok((length, peer)) = socket.recv_from(&mut block) {
            if let Some(answer) = answer(&block[..length]) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    address
}
