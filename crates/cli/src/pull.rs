//! `pull`.

use std::io::Write;
use std::process::ExitCode;

use hyper::Method;

use crate::engine::{self, Engine};
use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::{progress, raw, registry_auth, terminal};

/// Download an image from a registry
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    platform: Option<String>,
    /// The image.
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    image: String,
}

/// Pulls and says what was pulled.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let name = Name::parse(&args.image)?;
    let engine = engine::connect(global).await?;
    let mut out = std::io::stdout();
    if !args.quiet && args.image == name.familiar {
        writeln!(out, "Using default tag: latest")?;
    }
    let fancy = terminal::is_terminal(&out);
    if args.quiet {
        pull(&engine, &name, args.platform.as_deref(), &mut std::io::sink(), false).await?;
    } else {
        pull(&engine, &name, args.platform.as_deref(), &mut out, fancy).await?;
    }
    writeln!(out, "{}", name.canonical())?;
    Ok(ExitCode::SUCCESS)
}

/// Pulls, showing progress on `out`.
pub(crate) async fn pull(
    engine: &Engine,
    name: &Name,
    platform: Option<&str>,
    out: &mut (impl Write + Send),
    fancy: bool,
) -> Result<(), Failure> {
    let query = raw::query(&[
        ("fromImage", &name.familiar),
        ("tag", &name.tag),
        ("platform", platform.unwrap_or_default()),
    ]);
    let auth = registry_auth::of(&name.domain);
    let headers = auth.as_ref().map(|auth| ("X-Registry-Auth", auth.as_str()));
    let headers: Vec<_> = headers.into_iter().collect();
    let path = format!("/images/create{query}");
    let answer = raw::send(engine, Method::POST, &path, raw::whole(""), &headers).await?;
    progress::show(answer.into_body(), out, fancy).await
}

/// An image's name, taken apart.
pub(crate) struct Name {
    /// The registry.
    domain: String,
    /// The repository as the user knows it, without what Docker Hub is understood by.
    familiar: String,
    /// The repository with the registry's own prefix.
    path: String,
    /// The tag, `latest` when none was given, or a digest.
    tag: String,
}

impl Name {
    /// Docker's rules: what comes before the first slash is a registry when it looks like a host.
    pub(crate) fn parse(image: &str) -> Result<Self, Failure> {
        let invalid = || Failure::new("invalid reference format");
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (image, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match rest[last..].split_once(':') {
            Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
            None => (rest, None),
        };
        let (domain, path) = match repository.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("docker.io", repository),
        };
        let allowed =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-/".contains(letter);
        if path.is_empty() || path.starts_with(['.', '-', '_', '/']) || path.ends_with('/') || tag == Some("")
        {
            return Err(invalid());
        }
        if !path.chars().all(allowed) {
            let upper = path.chars().any(|letter| letter.is_ascii_uppercase());
            let reason = "invalid reference format: repository name";
            let named = if domain == "docker.io" && !path.contains('/') {
                format!("library/{path}")
            } else {
                path.to_owned()
            };
            return Err(if upper {
                Failure::new(format!("{reason} ({named}) must be lowercase"))
            } else {
                invalid()
            });
        }
        let (path, is_hub) = match (domain, path.contains('/')) {
            ("docker.io", false) => (format!("library/{path}"), true),
            ("docker.io", true) => (path.to_owned(), true),
            _ => (path.to_owned(), false),
        };
        let shown = path.strip_prefix("library/").unwrap_or(&path);
        let familiar = if is_hub { shown.to_owned() } else { format!("{domain}/{path}") };
        let tag = digest.or(tag).unwrap_or("latest").to_owned();
        Ok(Self { domain: domain.to_owned(), familiar, path, tag })
    }

    /// `busybox:latest`.
    pub(crate) fn familiar_with_tag(&self) -> String {
        format!("{}{}{}", self.familiar, self.separator(), self.tag)
    }

    /// `docker.io/library/busybox:latest`.
    fn canonical(&self) -> String {
        format!("{}/{}{}{}", self.domain, self.path, self.separator(), self.tag)
    }

    fn separator(&self) -> &'static str {
        if self.tag.contains(':') { "@" } else { ":" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_docker_does() {
        let name = Name::parse("busybox").unwrap();
        assert_eq!(
            (name.familiar_with_tag().as_str(), name.canonical().as_str()),
            ("busybox:latest", "docker.io/library/busybox:latest")
        );
        let name = Name::parse("localhost:5000/a/b:1").unwrap();
        assert_eq!(
            (name.domain.as_str(), name.canonical().as_str()),
            ("localhost:5000", "localhost:5000/a/b:1")
        );
        assert_eq!(Name::parse("a@sha256:00").unwrap().canonical(), "docker.io/library/a@sha256:00");
        assert!(Name::parse("Upper").is_err());
        assert!(Name::parse("").is_err());
    }
}
