//! Registries behind proxies, and with authorities and clients of their own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use berth_images::registry::{Choice, Client, Options, Proxies};
use berth_images::{Reference, Result};
use tempfile::TempDir;

use crate::fixture::{Layer, Place};
use crate::registry::Registry;
use crate::transfer::run;

/// A proxy that reaches every host at this machine's loopback; what it was asked for is noted.
struct Proxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let noted = heads.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let noted = noted.clone();
                std::thread::spawn(move || drop(serve(client, &noted)));
            }
        });
        Self { address, heads }
    }

    fn saw(&self, text: &str) -> bool {
        self.heads.lock().unwrap().iter().any(|head| head.contains(text))
    }
}

fn serve(mut client: TcpStream, noted: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let target = text.split(' ').nth(1).unwrap_or_default().trim_start_matches("http://");
    let port = target.split('/').next().and_then(|host| host.rsplit(':').next()).unwrap_or_default();
    let mut server = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    if text.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        // Servers take the whole target too.
        server.write_all(&head)?;
    }
    noted.lock().unwrap().push(text);
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(std::net::Shutdown::Write));
    });
    drop(io::copy(&mut server, &mut client));
    client.shutdown(std::net::Shutdown::Write)
}

/// An authority, a server's certificate for `registry.test` and a client's, made by openssl.
fn certificates() -> Option<TempDir> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("server.ext"), "subjectAltName=DNS:registry.test\n").unwrap();
    fs::write(folder.path().join("client.ext"), "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:client\n")
        .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let mut script =
        format!("set -e; openssl req -x509 {key} -days 2 -subj /CN=ca -keyout ca.key -out ca.crt\n");
    for name in ["server", "client"] {
        script += &format!(
            "openssl req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr\n\
             openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.crt\n"
        );
    }
    let made = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    if !made.status.success() {
        println!("skipped: needs openssl: {}", String::from_utf8_lossy(&made.stderr));
        return None;
    }
    Some(folder)
}

fn roundtrip(options: Options, name: &str) -> Result<()> {
    let place = Place::new();
    place.image(name, &[Layer::new().file("a", "content").done()]);
    let (client, reference) = (Client::new(options), name.parse::<Reference>().unwrap());
    run(async |report| client.push(&place.store, &reference, None, report).await).result?;
    let other = Place::new();
    run(async |report| client.pull(&other.store, &reference, Choice::Local, None, report).await)
        .result
        .map(drop)
}

fn proxied(proxy: &Proxy) -> Options {
    let (http, https) = (format!("http://{}", proxy.address), format!("http://me:secret@{}", proxy.address));
    Options { proxies: Proxies { http, https, none: String::new() }, ..Options::default() }
}

#[test]
fn a_plain_registry_is_reached_through_a_proxy() {
    let Some(registry) = Registry::start() else { return };
    let proxy = Proxy::start();
    let host = registry.address.replace("127.0.0.1", "registry.test");
    let options = Options { insecure: vec![host.clone()], ..proxied(&proxy) };
    roundtrip(options, &format!("{host}/team/a:v1")).unwrap();
    assert!(proxy.saw(&format!("GET http://{host}/v2/ ")));
}

#[test]
fn a_proxy_that_is_not_there_is_not_taken_for_the_registry() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("http://{closed}");
    let proxies = Proxies { http: address.clone(), https: address, none: String::new() };
    for (insecure, scheme) in [(vec![], "https"), (vec!["registry.test".to_owned()], "http")] {
        let options = Options { insecure, proxies: proxies.clone(), ..Options::default() };
        let error = roundtrip(options, "registry.test/team/a:v1").unwrap_err().to_string();
        let words = format!(
            "Get \"{scheme}://registry.test/v2/\": proxyconnect tcp: dial tcp {closed}: connect: connection refused"
        );
        assert!(error.ends_with(&words), "{error}");
    }
}

#[test]
fn an_authority_and_a_client_of_ones_own_are_taken_from_their_folder() {
    let Some(made) = certificates() else { return };
    let Some(registry) = Registry::with_certificates(made.path()) else { return };
    let proxy = Proxy::start();
    let host = registry.address.replace("127.0.0.1", "registry.test");
    let name = format!("{host}/team/a:v1");
    let folder = TempDir::new().unwrap();
    let own = folder.path().join(&host);
    let options = || Options { certificates: Some(folder.path().to_owned()), ..proxied(&proxy) };
    let copy = |from: &str, to: &Path| fs::copy(made.path().join(from), to).map(drop).unwrap();
    let unknown = roundtrip(options(), &name).unwrap_err().to_string();
    assert!(unknown.contains("certificate"), "{unknown}");
    fs::create_dir(&own).unwrap();
    copy("ca.crt", &own.join("ca.crt"));
    let stranger = roundtrip(options(), &name).unwrap_err().to_string();
    assert!(stranger.to_lowercase().contains("certificate"), "{stranger}");
    copy("client.crt", &own.join("client.cert"));
    copy("client.key", &own.join("client.key"));
    roundtrip(options(), &name).unwrap();
    assert!(proxy.saw(&format!("CONNECT {host} ")));
    let who = ["authorization", "Authorization"];
    assert!(who.iter().any(|name| proxy.saw(&format!("roxy-{name}: Basic bWU6c2VjcmV0"))));
}
