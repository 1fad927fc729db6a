//! A plain file from the web: what ADD and a build's remote context ask for.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, LAST_MODIFIED, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::connect::dns::Name;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::patience::PATIENCE;
use super::{Client, Report, connect, reason, session};
use crate::progress::Pace;
use crate::{Digest, Error, Progress, Result};

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// The largest file that is taken.
const LARGEST: u64 = 1 << 37;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// The content's digest.
    pub digest: Digest,
    /// When it was last changed, in seconds since 1970, as the server says.
    pub modified: Option<i64>,
    /// What the server says it is.
    pub content_type: String,
}

impl Client {
    /// Downloads `url` into a new file. What was written stays when it fails.
    ///
    /// # Errors
    /// When the server doesn't give it or the disk refuses.
    pub async fn download(&self, url: &str, path: &Path, report: Report<'_>) -> Result<Downloaded> {
        let response = self.follow(url, &[], None).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let modified = header(LAST_MODIFIED).and_then(http_date);
        let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let digest = save(response, path, url, report).await?;
        Ok(Downloaded { digest, modified, content_type })
    }

    /// Asks `url` with headers, and a body when there is one (POST); the answer's body goes into a new file. Headers
    /// that say who we are stay with the host that they are for.
    ///
    /// # Errors
    /// As [`Self::download`].
    pub async fn exchange(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Option<Vec<u8>>,
        path: &Path,
    ) -> Result<()> {
        let response = self.follow(url, headers, body.map(Bytes::from)).await?;
        save(response, path, url, &|_| {}).await.map(drop)
    }

    /// Connects to a port of `host`, a name or an address.
    ///
    /// # Errors
    /// When the name isn't known, or nothing answers at any of its addresses.
    pub async fn dial(&self, host: &str, port: u16) -> Result<TcpStream> {
        let refused = |reason: String| Error::Download { url: format!("{host}:{port}"), reason };
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![(address, port).into()],
            Err(_) => {
                let name: Name = host.parse().map_err(|_| refused("not a host's name".to_owned()))?;
                let found =
                    self.names.clone().call(name).await.map_err(|error| refused(error.to_string()))?;
                found.map(|found| (found.ip(), port).into()).collect()
            }
        };
        let mut reason = "no such host".to_owned();
        for address in addresses {
            match tokio::time::timeout(connect::CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => reason = format!("dial tcp {address}: {error}"),
                Err(_) => reason = format!("dial tcp {address}: i/o timeout"),
            }
        }
        Err(refused(reason))
    }

    async fn follow(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>> {
        let refused = |reason: String| Error::Download { url: url.to_owned(), reason };
        let options = self.options();
        let way = connect::Way { names: self.names.clone(), proxies: &options.proxies };
        let http = connect::client(way, false, None)?;
        let mut address = url.to_owned();
        for _ in 0..REDIRECTS {
            let uri: Uri = address.parse().map_err(|_| refused("not an address".to_owned()))?;
            let method = if body.is_some() { Method::POST } else { Method::GET };
            let mut request = Request::builder().method(method).uri(uri);
            request = request.header(USER_AGENT, options.user_agent.as_str());
            for (name, value) in headers {
                if *name != "authorization" || session::same_host(&address, url) {
                    request = request.header(*name, value);
                }
            }
            let content = body.clone().map_or_else(session::empty, session::full);
            let request = request.body(content).map_err(|error| refused(error.to_string()))?;
            let answer = tokio::time::timeout(PATIENCE, http.request(request)).await;
            let response = answer
                .map_err(|_| refused("no answer".to_owned()))?
                .map_err(|error| refused(reason::innermost(&error)))?;
            let next = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = next.and_then(|location| session::absolute(&address, location));
            match next.filter(|_| response.status().is_redirection()) {
                Some(next) => address = next,
                None if response.status().is_success() => return Ok(response),
                None => return Err(refused(format!("got error response: {}", response.status()))),
            }
        }
        Err(refused("too many redirects".to_owned()))
    }
}

/// Bytes with `%xx` taken for what it stands for, as in addresses.
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let number = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

async fn save(response: Response<Incoming>, path: &Path, url: &str, report: Report<'_>) -> Result<Digest> {
    let refused = |reason: String| Error::Download { url: url.to_owned(), reason };
    let total = response.headers().get(hyper::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let total: u64 = total.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut file = tokio::fs::File::create(path).await.map_err(Error::file("create", path))?;
    let (mut hash, pace) = (crate::digest::Running::new(), Pace::default());
    let (mut body, mut done) = (response.into_body(), 0u64);
    loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
        let Some(frame) = frame.map_err(|_| refused("the transfer stalled".to_owned()))? else { break };
        let frame = frame.map_err(|error| refused(reason::innermost(&error)))?;
        let Ok(bytes) = frame.into_data() else { continue };
        done += bytes.len() as u64;
        if done > LARGEST {
            return Err(refused(format!("larger than {LARGEST} bytes")));
        }
        hash.add(&bytes);
        file.write_all(&bytes).await.map_err(Error::file("write", path))?;
        if done == total || pace.is_due() {
            report(Progress::moved("", "Downloading", done, total));
        }
    }
    file.flush().await.map_err(Error::file("write", path))?;
    if total > 0 && done != total {
        return Err(refused(format!("{done} bytes of {total} came")));
    }
    Ok(hash.finish())
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` as seconds since 1970.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let month = i64::try_from(MONTHS.find(month)? / 3).ok()? + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<i64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock.as_slice() else { return None };
    // Days since 1970 by the civil calendar, years starting in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_seconds() {
        assert_eq!(http_date("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("yesterday"), None);
    }
}
