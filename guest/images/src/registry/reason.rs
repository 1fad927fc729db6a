//! Why a registry gave no answer, in Docker's words, which are Go's: users look for them.

use std::error::Error;
use std::io;

use rustls::{CertificateError, InvalidMessage};

use super::proxy::Unreached;

/// How webpki says that a server's certificate is an authority's; rustls has no variant for it.
pub(super) const OWN_AUTHORITY: &str = "CaUsedAsEndEntity";

/// Nobody took the connection in the time that there is for it.
pub(super) const NOT_TAKEN: &str = "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)";
/// Nobody answered on the connection.
pub(super) const NOT_ANSWERED: &str =
    "net/http: request canceled (Client.Timeout exceeded while awaiting headers)";

/// Why there was no answer from `to` (`host:port`). A server that misses the client's certificate says so when the
/// connection is there already, and closes it: whichever is noticed first.
pub(super) fn reason(error: &(dyn Error + 'static), to: &str) -> String {
    if let Some(Unreached { proxy, source }) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return format!("proxyconnect tcp: {}", reason(&**source, proxy));
    }
    if let Some(reason) = causes(error).find_map(|cause| of_connection(cause.downcast_ref()?, to)) {
        return reason;
    }
    if let Some(error) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return of_tls(error);
    }
    if causes(error).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_canceled) {
        return "it closed the connection before it was asked: it may want a client certificate".to_owned();
    }
    innermost(error)
}

/// The cause at the bottom: the layers above it say only "client error".
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// An error and what is behind it, also what an error of input or output only wraps.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let behind = |error: &'a (dyn Error + 'static)| match error.downcast_ref::<io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    };
    std::iter::successors(Some(error), move |error| behind(*error))
}

fn of_connection(error: &io::Error, to: &str) -> Option<String> {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::HostUnreachable => "no route to host",
        io::ErrorKind::NetworkUnreachable => "network is unreachable",
        io::ErrorKind::TimedOut if error.raw_os_error().is_some() => "connection timed out",
        // Our own patience, not the kernel's.
        io::ErrorKind::TimedOut => return Some(NOT_TAKEN.to_owned()),
        _ => return None,
    };
    Some(format!("dial tcp {to}: connect: {reason}"))
}

fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => {
            format!("tls: failed to verify certificate: x509: {}", of_certificate(problem))
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        other => other.to_string(),
    }
}

fn of_certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::Other(other) if other.to_string() == OWN_AUTHORITY => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            let names = if names.is_empty() { "no names".to_owned() } else { names.join(", ") };
            format!("certificate is valid for {names}, not {}", expected.to_str())
        }
        other => other.to_string(),
    }
}

/// A name as people write it: webpki gives `DnsName("a.example")`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: rustls::Error) -> String {
        // As it comes from a connection.
        reason(&io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error)), "reg:443")
    }

    #[test]
    fn what_tls_says_is_said_as_by_docker() {
        let expected = "reg.example".try_into().unwrap();
        let presented = vec!["DnsName(\"a.example\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()];
        let certificates = [
            (CertificateError::UnknownIssuer, "certificate signed by unknown authority"),
            (CertificateError::Expired, "certificate has expired or is not yet valid"),
            (
                CertificateError::NotValidForNameContext { expected, presented },
                "certificate is valid for a.example, 10.0.0.1, not reg.example",
            ),
        ];
        for (problem, words) in certificates {
            assert_eq!(said(problem.into()), format!("tls: failed to verify certificate: x509: {words}"));
        }
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(said(plain), "http: server gave HTTP response to HTTPS client");
    }

    #[test]
    fn the_cause_at_the_bottom_counts() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let wrapped = io::Error::other(refused);
        assert_eq!(reason(&wrapped, "reg:443"), "dial tcp reg:443: connect: connection refused");
        let nowhere = io::Error::from(io::ErrorKind::NetworkUnreachable);
        assert_eq!(reason(&nowhere, "reg:443"), "dial tcp reg:443: connect: network is unreachable");
        assert_eq!(reason(&io::Error::from(io::ErrorKind::TimedOut), "reg:443"), NOT_TAKEN);
        assert_eq!(reason(&io::Error::other("no route"), "reg:443"), "no route");
    }
}
