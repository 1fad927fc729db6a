//! The tags of a repository at its registry (OCI distribution specification, "Listing Tags").

use std::sync::Arc;

use hyper::Method;
use hyper::header::LINK;
use serde::Deserialize;

use super::session::{self, Ask, Session};
use super::{Client, Credentials};
use crate::{Error, Reference, Result};

/// What all pages of a list may take together, in bytes.
const LARGEST: usize = 16 << 20;
/// Pages that are read: a registry that always names a next one has no list.
const PAGES: usize = 1000;

#[derive(Deserialize)]
struct Answer {
    tags: Option<Vec<String>>,
}

impl Client {
    /// Every tag of the repository that `reference` names, in the registry's order.
    ///
    /// # Errors
    /// In Docker's words.
    pub async fn tags(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<String>> {
        let ask = |session: Arc<Session>| async move { list(&session, reference).await };
        self.nearest(reference, credentials, ask).await
    }
}

/// Reads a list page by page.
async fn list(session: &Session, reference: &Reference) -> Result<Vec<String>> {
    let mut target = format!("/v2/{}/tags/list", reference.path());
    let (mut tags, mut left) = (Vec::new(), LARGEST);
    for _ in 0..PAGES {
        let response = session.ask(&Ask::new(Method::GET, &target)).await?;
        if !response.status().is_success() {
            return Err(session::refusal(response).await.into_error(reference));
        }
        let link = response.headers().get(LINK).and_then(|link| link.to_str().ok());
        let next = link.and_then(next_page).map(str::to_owned);
        let body = session::read(response, left).await?;
        left -= body.len().min(left);
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|source| Error::Json { subject: "list of tags", source })?;
        tags.extend(answer.tags.unwrap_or_default());
        match next {
            Some(next) => target = next,
            None => return Ok(tags),
        }
    }
    Err(Error::BadAnswer { url: session.url(&target), problem: "its list of tags doesn't end" })
}

/// The path in `</v2/…/tags/list?last=x>; rel="next"`; one that leads to another host isn't followed.
pub(super) fn next_page(link: &str) -> Option<&str> {
    let (path, relation) = link.strip_prefix('<')?.split_once('>')?;
    (relation.contains("next") && path.starts_with('/') && !path.starts_with("//")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn the_next_page_is_the_registrys_own() {
        assert_eq!(
            next_page("</v2/a/tags/list?last=x&n=5>; rel=\"next\""),
            Some("/v2/a/tags/list?last=x&n=5")
        );
        assert_eq!(next_page("<https://elsewhere/v2/a/tags/list>; rel=\"next\""), None);
        assert_eq!(next_page("<//elsewhere/v2>; rel=\"next\""), None);
        assert_eq!(next_page("nothing"), None);
    }
}
