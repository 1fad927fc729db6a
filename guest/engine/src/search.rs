//! `docker search` and `docker login`: what registries are asked beside images.

use crate::filters::Filters;
use crate::images::{Credentials, Found};
use crate::{Engine, Error};

/// How many are shown when nobody says, and at most, as in Docker.
const USUAL: u32 = 25;
const MOST: u32 = 100;

impl Engine {
    /// Searches for repositories, in Docker Hub unless the term names another registry.
    ///
    /// # Errors
    /// When the limit or a filter makes no sense, or nobody answers.
    pub async fn search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &Filters,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Found>, Error> {
        filters.check(&["is-automated", "is-official", "stars"])?;
        let flag = |key: &str| {
            filters
                .flag(key)
                .map_err(|value| Error::InvalidRequest(format!("invalid filter '{key}=[{value}]'")))
        };
        let (automated, official) = (flag("is-automated")?, flag("is-official")?);
        let mut stars = 0;
        for text in filters.values("stars").unwrap_or_default() {
            let invalid = |_| Error::InvalidRequest(format!("invalid filter 'stars=[{text}]'"));
            stars = stars.max(text.parse::<i64>().map_err(invalid)?);
        }
        let limit = limit.filter(|limit| *limit != 0).unwrap_or(USUAL);
        if limit > MOST {
            return Err(Error::InvalidRequest(format!("limit {limit} is outside the range of [1, {MOST}]")));
        }
        let mut found = self.registries.search(term, limit, credentials).await?;
        found.retain(|one| {
            automated.is_none_or(|wanted| wanted == one.is_automated)
                && official.is_none_or(|wanted| wanted == one.is_official)
                && one.star_count >= stars
        });
        Ok(found)
    }

    /// Checks credentials at a registry (`host[:port]`, an address, or nothing for Docker Hub); gives an identity token
    /// where the registry has some.
    ///
    /// # Errors
    /// In the registry's words.
    pub async fn login(&self, registry: &str, credentials: &Credentials) -> Result<Option<String>, Error> {
        self.registries.login(host(registry), credentials).await.map_err(Error::Login)
    }
}

/// The registry behind what a client calls it: it keeps Docker Hub's credentials under an address of its first version.
fn host(registry: &str) -> &str {
    let plain = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    match plain.split('/').next().unwrap_or_default() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_has_many_names() {
        for name in ["", "docker.io", "https://index.docker.io/v1/"] {
            assert_eq!(host(name), "docker.io");
        }
        assert_eq!(host("http://localhost:5000/v2/"), "localhost:5000");
    }
}
