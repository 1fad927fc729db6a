//! The ignore file of a client's folder: what the folder then comes without.

use std::sync::Arc;

use super::progress::{Progress, words};
use super::receive::{self, Wanted};
use super::session::Session;
use super::sync::Folder;
use crate::beneath::Root;
use crate::{Builder, Error, Result, dockerfile};

const NAME: &str = ".dockerignore";

/// The patterns of the ignore file in what the client calls `name`, asked for under a title of its own; none without one.
pub(super) async fn of_client(
    builder: &Arc<Builder>,
    session: &Session,
    progress: &Arc<Progress>,
    (name, title): (&str, &str),
) -> Result<Vec<String>> {
    let work = progress.start(title);
    let received = async {
        let folder = Folder::temporary(builder)?;
        let wanted = Wanted { name, include: vec![NAME.to_owned()], exclude: Vec::new() };
        let bytes = receive::receive(session, wanted, &folder, |_| {}).await?;
        work.transfer("transferring context:", bytes, 0, true);
        let root = Root::open(&folder.path).map_err(Error::file("open", &folder.path))?;
        Ok(root.text(NAME, dockerfile::LONGEST as u64).as_deref().map(patterns).unwrap_or_default())
    }
    .await;
    work.end(received.as_ref().err().map(words).as_deref());
    received
}

/// An ignore file's patterns, as a client takes them.
pub(super) fn patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cleaned = lines.map(|line| match line.strip_prefix('!') {
        Some(rest) => format!("!{}", crate::beneath::clean(rest.trim())),
        None => crate::beneath::clean(line),
    });
    cleaned.filter(|line| !line.is_empty() && line != "!").collect()
}
