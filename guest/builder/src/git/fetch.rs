//! One commit of a repository as a pack (gitprotocol-http, gitprotocol-v2).

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;

use super::lines::{self, Packet};
use super::object::Id;
use super::{Address, wrong};
use crate::steps::blocking;
use crate::{Builder, Error, Result};

/// A commit and the pack that has all of it.
pub(super) struct Fetched {
    pub(super) named: Named,
    pub(super) pack: Scratch,
}

/// A commit and what the repository calls it.
pub(super) struct Named {
    pub(super) commit: Id,
    /// The branch or tag by its full name.
    pub(super) name: Option<String>,
    /// The annotated tag.
    pub(super) tag: Option<Id>,
}

/// A file that goes when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    fn new(builder: &Builder) -> Result<Self> {
        Ok(Self(builder.contexts().join(format!("git-{}", crate::identity::fresh()?))))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn open(&self) -> Result<BufReader<File>> {
        Ok(BufReader::new(File::open(&self.0).map_err(Error::file("open", &self.0))?))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Fetches the commit that an address means.
pub(super) async fn fetch(
    builder: &Arc<Builder>,
    address: &Address,
    authorization: Option<&str>,
) -> Result<Fetched> {
    let server = Server { builder, address, authorization: authorization_of(address, authorization) };
    server.greet().await?;
    let named = match Id::parse(&address.reference) {
        Some(commit) => Named { commit, name: None, tag: None },
        None => server.resolve().await?,
    };
    let pack = server.pack(&named).await?;
    Ok(Fetched { named, pack })
}

/// What the server is told of who we are: as given, or by the user in the address.
fn authorization_of(address: &Address, given: Option<&str>) -> Option<String> {
    let encode = |user: &str| {
        let user = berth_images::registry::percent_decoded(user);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user))
    };
    let of_address = address.user.as_ref().map(|user| match user.contains(':') {
        true => encode(user),
        false => encode(&format!("{user}:")),
    });
    given.map(str::to_owned).or(of_address)
}

struct Server<'a> {
    builder: &'a Arc<Builder>,
    address: &'a Address,
    authorization: Option<String>,
}

impl Server<'_> {
    async fn ask(&self, path: &str, body: Option<Vec<u8>>) -> Result<Scratch> {
        let answer = Scratch::new(self.builder)?;
        let url = format!("{}/{path}", self.address.url);
        let mut headers = vec![("git-protocol", "version=2".to_owned())];
        if body.is_some() {
            headers.push(("content-type", "application/x-git-upload-pack-request".to_owned()));
        }
        headers.extend(self.authorization.iter().map(|value| ("authorization", value.clone())));
        let asked = self.builder.registries.exchange(&url, &headers, body, answer.path()).await;
        asked.map_err(|error| match error {
            berth_images::Error::Download { reason, .. } => {
                Error::Download { url: self.address.shown().to_owned(), reason }
            }
            other => other.into(),
        })?;
        Ok(answer)
    }

    /// Asks whether the server speaks the protocol's second version, as every one does since 2018.
    async fn greet(&self) -> Result<()> {
        let answer = self.ask("info/refs?service=git-upload-pack", None).await?;
        let mut packets = answer.open()?;
        let mut is_second = false;
        while let Some(packet) = lines::next(&mut packets)? {
            let Packet::Data(bytes) = packet else { continue };
            let text = lines::text(&bytes);
            is_second |= text == "version 2";
            if text.strip_prefix("object-format=").is_some_and(|format| format != "sha1") {
                return Err(Error::Unsupported(format!(
                    "{}: {text} isn't supported: repositories are read with sha1 alone",
                    self.address.shown()
                )));
            }
        }
        match is_second {
            true => Ok(()),
            false => Err(wrong(format!("{} doesn't speak protocol version 2", self.address.shown()))),
        }
    }

    /// The commit that a branch or tag means, or the repository's own choice.
    async fn resolve(&self) -> Result<Named> {
        let wanted = match self.address.reference.as_str() {
            "" => vec!["HEAD".to_owned()],
            name if name == "HEAD" || name.starts_with("refs/") => vec![name.to_owned()],
            name => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
        };
        let mut body = Vec::new();
        lines::line(&mut body, "command=ls-refs");
        lines::delimiter(&mut body);
        lines::line(&mut body, "peel");
        for name in &wanted {
            lines::line(&mut body, &format!("ref-prefix {name}"));
        }
        lines::flush(&mut body);
        let answer = self.ask("git-upload-pack", Some(body)).await?;
        let mut packets = answer.open()?;
        let mut found = Vec::new();
        while let Some(Packet::Data(bytes)) = lines::next(&mut packets)? {
            let text = lines::text(&bytes);
            let mut words = text.split(' ');
            let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
            if let Some(commit) = Id::parse(peeled.unwrap_or(id)) {
                let tag = peeled.and_then(|_| Id::parse(id));
                found.push(Named { commit, name: Some(name.to_owned()), tag });
            }
        }
        let place = |known: &Named| wanted.iter().position(|name| known.name.as_ref() == Some(name));
        found.retain(|known| place(known).is_some());
        found.into_iter().min_by_key(place).ok_or_else(|| {
            let reference = if self.address.reference.is_empty() { "HEAD" } else { &self.address.reference };
            wrong(format!("{} has no branch or tag {reference:?}", self.address.shown()))
        })
    }

    /// Everything of one commit, without what was before.
    async fn pack(&self, named: &Named) -> Result<Scratch> {
        let mut body = Vec::new();
        lines::line(&mut body, "command=fetch");
        lines::delimiter(&mut body);
        let wanted = [Some(named.commit), named.tag.filter(|_| self.address.keeps_git_dir)];
        let wanted = wanted.iter().flatten().map(|id| format!("want {id}"));
        let texts = ["no-progress", "ofs-delta", "deepen 1"].map(str::to_owned);
        for text in texts.into_iter().chain(wanted).chain(["done".to_owned()]) {
            lines::line(&mut body, &text);
        }
        lines::flush(&mut body);
        let answer = self.ask("git-upload-pack", Some(body)).await?;
        let pack = Scratch::new(self.builder)?;
        blocking(move || {
            unwrap(&answer, &pack)?;
            Ok(pack)
        })
        .await
    }
}

/// Takes the pack out of an answer: what comes on its first band, after the line `packfile`.
fn unwrap(answer: &Scratch, pack: &Scratch) -> Result<()> {
    let file = File::create(&pack.0).map_err(Error::file("create", &pack.0))?;
    let (mut packets, mut to) = (answer.open()?, BufWriter::new(file));
    let mut is_in_pack = false;
    while let Some(packet) = lines::next(&mut packets)? {
        let Packet::Data(bytes) = packet else { continue };
        match (is_in_pack, bytes.split_first()) {
            (true, Some((1, data))) => to.write_all(data).map_err(Error::file("write", &pack.0))?,
            (true, Some((3, words))) => return Err(wrong(lines::text(words))),
            (true, _) => {}
            (false, _) => {
                let text = lines::text(&bytes);
                if let Some(words) = text.strip_prefix("ERR ") {
                    return Err(wrong(words));
                }
                is_in_pack = text == "packfile";
            }
        }
    }
    to.flush().map_err(Error::file("write", &pack.0))
}
