//! `load`.

use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::engine;
use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::{progress, raw, terminal};

const BLOCK: usize = 256 << 10;

/// Load an image from a tar archive or STDIN
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long)]
    input: Option<PathBuf>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
    /// Load only the given platform(s)
    #[arg(long)]
    platform: Option<String>,
}

/// Sends the archive and says what it held.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let archive: Box<dyn AsyncRead + Send + Unpin> = match &args.input {
        Some(path) => {
            let opened = tokio::fs::File::open(path).await;
            Box::new(opened.map_err(|error| {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                    _ => error.to_string(),
                };
                Failure::new(format!("open {}: {reason}", path.display()))
            })?)
        }
        None if terminal::is_terminal(&std::io::stdin()) => {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        None => Box::new(tokio::io::stdin()),
    };
    let engine = engine::connect(global).await?;
    let mut out = std::io::stdout();
    let fancy = terminal::is_terminal(&out);
    let quiet = if args.quiet || !fancy { "1" } else { "0" };
    let query = raw::query(&[("quiet", quiet), ("platform", args.platform.as_deref().unwrap_or_default())]);
    let chunks = stream::try_unfold(archive, |mut archive| async move {
        let mut chunk = Vec::with_capacity(BLOCK);
        let length = (&mut archive).take(BLOCK as u64).read_to_end(&mut chunk).await?;
        Ok::<_, std::io::Error>((length > 0).then(|| (Frame::data(chunk.into()), archive)))
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(chunks));
    let headers = [("content-type", "application/x-tar")];
    let answer = raw::send(&engine, Method::POST, &format!("/images/load{query}"), body, &headers).await?;
    progress::show(answer.into_body(), &mut out, fancy).await?;
    Ok(ExitCode::SUCCESS)
}
