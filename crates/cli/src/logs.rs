//! `logs`.

use std::process::ExitCode;

use futures_util::TryStreamExt;
use http_body_util::BodyDataStream;
use hyper::Method;
use tokio_util::io::StreamReader;

use crate::failure::Outcome;
use crate::global::Global;
use crate::{attach, engine, moment, raw};

/// Fetch the logs of a container
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, default_value = "")]
    since: String,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, default_value = "")]
    until: String,
    /// The container.
    container: String,
}

/// Prints what was printed, and with `--follow` what will be.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let engine = engine::connect(global).await?;
    let container = raw::get(&engine, &format!("/containers/{}/json", raw::escaped(&args.container))).await?;
    let terminal = container.pointer("/Config/Tty").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let on = |wanted: bool| if wanted { "1" } else { "" };
    let query = raw::query(&[
        ("stdout", "1"),
        ("stderr", "1"),
        ("details", on(args.details)),
        ("follow", on(args.follow)),
        ("since", &moment::for_api(&args.since)),
        ("tail", &args.tail),
        ("timestamps", on(args.timestamps)),
        ("until", &moment::for_api(&args.until)),
    ]);
    let id = container.get("Id").and_then(serde_json::Value::as_str).unwrap_or(&args.container);
    let path = format!("/containers/{id}/logs{query}");
    let answer = raw::send(&engine, Method::GET, &path, raw::whole(""), &[]).await?;
    let body = BodyDataStream::new(answer.into_body()).map_err(std::io::Error::other);
    attach::print(StreamReader::new(body), terminal).await?;
    Ok(ExitCode::SUCCESS)
}
