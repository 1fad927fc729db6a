//! One commit of a repository as a pack (gitprotocol-v2, over gitprotocol-http or SSH; gitprotocol-pack of servers behind
//! SSH that weren't told which version is wanted).

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;

use super::lines::{self, Packet};
use super::object::Id;
use super::ssh::Connection;
use super::{Access, Address, wrong};
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
pub(super) async fn fetch(builder: &Arc<Builder>, address: &Address, access: Access<'_>) -> Result<Fetched> {
    let shown = address.shown();
    let way = match &address.ssh {
        None => Way::Http { authorization: authorization_of(address, access.authorization) },
        Some(to) => {
            let agent = (access.agent)().await.ok_or_else(|| {
                Error::Invalid(format!(
                    "unset ssh forward key {}: {shown} is reached by ssh, which needs the client's agent (`--ssh default`)",
                    super::AGENT
                ))
            })?;
            Way::Ssh(Box::new(Connection::open(builder, shown, to, agent).await?))
        }
    };
    let mut server = Server { builder, address, way, told: None };
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
    way: Way,
    /// Every branch and tag, where the server greets by the protocol's first version.
    told: Option<Vec<Named>>,
}

/// How the server is asked.
enum Way {
    Http { authorization: Option<String> },
    Ssh(Box<Connection>),
}

impl Server<'_> {
    /// Asks a question, or for the greeting; the answer's packets are flushed so many times.
    async fn ask(&mut self, question: Option<Vec<u8>>, flushes: usize) -> Result<Scratch> {
        let answer = Scratch::new(self.builder)?;
        let authorization = match &mut self.way {
            Way::Http { authorization } => authorization.clone(),
            Way::Ssh(connection) => {
                connection.ask(&question.unwrap_or_default(), flushes, answer.path()).await?;
                return Ok(answer);
            }
        };
        let path = if question.is_none() { "info/refs?service=git-upload-pack" } else { "git-upload-pack" };
        let url = format!("{}/{path}", self.address.url);
        let mut headers = vec![("git-protocol", "version=2".to_owned())];
        if question.is_some() {
            headers.push(("content-type", "application/x-git-upload-pack-request".to_owned()));
        }
        headers.extend(authorization.map(|value| ("authorization", value)));
        let asked = self.builder.registries.exchange(&url, &headers, question, answer.path()).await;
        asked.map_err(|error| match error {
            berth_images::Error::Download { reason, .. } => {
                Error::Download { url: self.address.shown().to_owned(), reason }
            }
            other => other.into(),
        })?;
        Ok(answer)
    }

    /// Asks whether the server speaks the protocol's second version, as every one does since 2018. Behind SSH it may not
    /// have heard that it should.
    async fn greet(&mut self) -> Result<()> {
        let answer = self.ask(None, 1).await?;
        let mut packets = answer.open()?;
        let (mut is_second, mut told) = (false, Vec::new());
        while let Some(packet) = lines::next(&mut packets)? {
            let Packet::Data(bytes) = packet else { continue };
            let text = lines::text(&bytes);
            is_second |= text == "version 2";
            let (line, abilities) = text.split_once('\0').unwrap_or((text.as_str(), text.as_str()));
            let mut formats =
                abilities.split(' ').filter_map(|ability| ability.strip_prefix("object-format="));
            if let Some(format) = formats.find(|format| *format != "sha1") {
                return Err(Error::Unsupported(format!(
                    "{}: object-format={format} isn't supported: repositories are read with sha1 alone",
                    self.address.shown()
                )));
            }
            note(&mut told, line);
        }
        match (is_second, &self.way) {
            (true, _) => Ok(()),
            (false, Way::Ssh(_)) => {
                self.told = Some(told);
                Ok(())
            }
            (false, Way::Http { .. }) => {
                Err(wrong(format!("{} doesn't speak protocol version 2", self.address.shown())))
            }
        }
    }

    /// The commit that a branch or tag means, or the repository's own choice.
    async fn resolve(&mut self) -> Result<Named> {
        let wanted = match self.address.reference.as_str() {
            "" => vec!["HEAD".to_owned()],
            name if name == "HEAD" || name.starts_with("refs/") => vec![name.to_owned()],
            name => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
        };
        let mut found = match self.told.as_mut() {
            Some(told) => std::mem::take(told),
            None => self.list(&wanted).await?,
        };
        let place = |known: &Named| wanted.iter().position(|name| known.name.as_ref() == Some(name));
        found.retain(|known| place(known).is_some());
        found.into_iter().min_by_key(place).ok_or_else(|| {
            let reference = if self.address.reference.is_empty() { "HEAD" } else { &self.address.reference };
            wrong(format!("{} has no branch or tag {reference:?}", self.address.shown()))
        })
    }

    /// The branches and tags whose names begin so.
    async fn list(&mut self, wanted: &[String]) -> Result<Vec<Named>> {
        let mut body = Vec::new();
        lines::line(&mut body, "command=ls-refs");
        lines::delimiter(&mut body);
        lines::line(&mut body, "peel");
        for name in wanted {
            lines::line(&mut body, &format!("ref-prefix {name}"));
        }
        lines::flush(&mut body);
        let answer = self.ask(Some(body), 1).await?;
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
        Ok(found)
    }

    /// Everything of one commit, without what was before.
    async fn pack(&mut self, named: &Named) -> Result<Scratch> {
        let wanted = match self.told {
            // The first version gives what it told of alone: a tag, not what that means.
            Some(_) => [Some(named.tag.unwrap_or(named.commit)), None],
            None => [Some(named.commit), named.tag.filter(|_| self.address.keeps_git_dir)],
        };
        let wanted = wanted.iter().flatten().map(|id| format!("want {id}"));
        let (body, flushes) = match self.told {
            // What the server has less of is flushed before the pack.
            Some(_) => (first_fetch(wanted), 2),
            None => (second_fetch(wanted), 1),
        };
        let answer = self.ask(Some(body), flushes).await?;
        let pack = Scratch::new(self.builder)?;
        blocking(move || {
            unwrap(&answer, &pack)?;
            Ok(pack)
        })
        .await
    }
}

/// The question for a pack by the protocol's second version.
fn second_fetch(wanted: impl Iterator<Item = String>) -> Vec<u8> {
    let mut body = Vec::new();
    lines::line(&mut body, "command=fetch");
    lines::delimiter(&mut body);
    let texts = ["no-progress", "ofs-delta", "deepen 1"].map(str::to_owned);
    for text in texts.into_iter().chain(wanted).chain(["done".to_owned()]) {
        lines::line(&mut body, &text);
    }
    lines::flush(&mut body);
    body
}

/// The same by its first, where abilities stand beside the first wish.
fn first_fetch(wanted: impl Iterator<Item = String>) -> Vec<u8> {
    let mut body = Vec::new();
    let abilities = [" side-band-64k no-progress ofs-delta"].into_iter().chain(std::iter::repeat(""));
    for (want, abilities) in wanted.zip(abilities) {
        lines::line(&mut body, &format!("{want}{abilities}"));
    }
    lines::line(&mut body, "deepen 1");
    lines::flush(&mut body);
    lines::line(&mut body, "done");
    body
}

/// Notes a branch or tag of a greeting; what a tag means follows it under its name and `^{}`.
fn note(told: &mut Vec<Named>, line: &str) {
    let Some((Some(commit), name)) = line.split_once(' ').map(|(id, name)| (Id::parse(id), name)) else {
        return;
    };
    let before = told.last_mut().filter(|before| before.name.as_deref() == name.strip_suffix("^{}"));
    match before {
        Some(before) => before.tag = Some(std::mem::replace(&mut before.commit, commit)),
        None => told.push(Named { commit, name: Some(name.to_owned()), tag: None }),
    }
}

/// Takes the pack out of an answer: what comes on its first band, after the line `packfile`, or `NAK` of the protocol's
/// first version.
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
                is_in_pack = matches!(text.as_str(), "packfile" | "NAK");
            }
        }
    }
    to.flush().map_err(Error::file("write", &pack.0))
}
