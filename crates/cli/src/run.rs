//! `run`: create, attach, wait, start — in this order, so that nothing of the output and no exit is missed.

mod config;
pub(crate) mod environment;
mod flags;
mod mounts;
mod ports;
mod signals;

use std::io::Write;
use std::process::ExitCode;

use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;

use crate::attach::{self, End, Sized, Wishes};
use crate::detach_keys::DetachKeys;
use crate::engine::{self, Engine};
use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::pull::{self, Name};
use crate::{raw, terminal, usage};

pub(crate) use flags::Args;

/// Docker's exit code for what the client or the engine refuses.
const REFUSED: u8 = 125;
/// The program can't be executed.
const NOT_EXECUTABLE: u8 = 126;
/// The program isn't there.
const NOT_FOUND: u8 = 127;

/// Runs a container; ends as it ends, unless detached.
pub(crate) async fn run(args: Args, called: &'static str, global: &Global) -> Outcome {
    match live(&args, global).await {
        Err(failure) if !failure.is_complete() => {
            Err(usage::refused(called, "run", failure.message()).with_code(failure.code().max(REFUSED)))
        }
        ended => ended,
    }
}

/// How Docker's client reads the engine's words.
fn code(message: &str) -> u8 {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["executable file not found", "no such file or directory", "system cannot find"]) {
        NOT_FOUND
    } else if says(&["permission denied", "is a directory", "exec format error"]) {
        NOT_EXECUTABLE
    } else {
        REFUSED
    }
}

async fn live(args: &Args, global: &Global) -> Outcome {
    let body = config::body(args)?;
    let keys = DetachKeys::parse(&args.detach_keys)?;
    if args.tty && args.interactive && !args.detach && !terminal::is_terminal(&std::io::stdin()) {
        return Err(Failure::new("the input device is not a TTY").complete());
    }
    let engine = engine::connect(global).await?;
    let id = create(&engine, args, body).await?;
    if let Some(file) = &args.cidfile {
        std::fs::write(file, &id)?;
    }
    if args.detach {
        start(&engine, &id).await?;
        writeln!(std::io::stdout().lock(), "{id}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let input = args.attaches("stdin");
    let on = |stream| if args.attaches(stream) { "1" } else { "" };
    let query = raw::query(&[
        ("stream", "1"),
        ("stdin", on("stdin")),
        ("stdout", on("stdout")),
        ("stderr", on("stderr")),
        ("detachKeys", &args.detach_keys),
    ]);
    let stream = raw::hijack(&engine, &format!("/containers/{id}/attach{query}"), Vec::new()).await?;
    let condition = if args.rm { "removed" } else { "next-exit" };
    let path = format!("/containers/{id}/wait?condition={condition}");
    let ended = raw::send(&engine, Method::POST, &path, raw::whole(""), &[]).await?.into_body();
    let proxy = (args.sig_proxy && !args.tty).then(|| signals::forward(&engine, &id));
    if let Err(failure) = start(&engine, &id).await {
        if args.rm {
            // The engine removes it; the command returns once that is done.
            let _ = exit_code(ended).await;
        }
        return Err(failure);
    }
    let follows = args.tty && terminal::is_terminal(&std::io::stdout());
    let resizing = follows.then(|| attach::follow_size(&engine, Sized::Container(id.clone())));
    let end = attach::converse(stream, Wishes { terminal: args.tty, input, keys }).await?;
    if end == End::Detached {
        return Ok(ExitCode::SUCCESS);
    }
    let code = exit_code(ended).await?;
    for task in [proxy, resizing].into_iter().flatten() {
        task.abort();
    }
    Ok(ExitCode::from(code))
}

async fn start(engine: &Engine, id: &str) -> Result<(), Failure> {
    let options = None::<bollard::query_parameters::StartContainerOptions>;
    let started = engine.docker.start_container(id, options).await;
    started.map_err(Failure::from).map_err(|failure| {
        let code = code(failure.message());
        failure.with_code(code)
    })
}

/// What the wait says, when the container has ended.
async fn exit_code(body: Incoming) -> Result<u8, Failure> {
    let body = body.collect().await.map_err(Failure::from_error)?.to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&body).map_err(Failure::from_error)?;
    if let Some(error) = answer.pointer("/Error/Message").and_then(serde_json::Value::as_str) {
        return Err(Failure::new(error));
    }
    let code = answer.get("StatusCode").and_then(serde_json::Value::as_i64).unwrap_or_default();
    Ok(u8::try_from(code & 0xff).unwrap_or(REFUSED))
}

/// Creates the container, after pulling its image when it isn't there.
async fn create(engine: &Engine, args: &Args, body: ContainerCreateBody) -> Result<String, Failure> {
    let pull_it = async || {
        let name = Name::parse(&args.image)?;
        let mut out = std::io::stderr();
        let fancy = terminal::is_terminal(&out);
        let platform = args.platform.as_deref();
        if args.quiet {
            pull::pull(engine, &name, platform, &mut std::io::sink(), false).await
        } else {
            pull::pull(engine, &name, platform, &mut out, fancy).await
        }
    };
    if args.pull == "always" {
        pull_it().await?;
    }
    let mut options = CreateContainerOptionsBuilder::new();
    if let Some(name) = &args.name {
        options = options.name(name);
    }
    if let Some(platform) = &args.platform {
        options = options.platform(platform);
    }
    let options = options.build();
    let created = match engine.docker.create_container(Some(options.clone()), body.clone()).await {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) if args.pull == "missing" => {
            if !args.quiet {
                let name = Name::parse(&args.image)?.familiar_with_tag();
                writeln!(std::io::stderr().lock(), "Unable to find image '{name}' locally")?;
            }
            pull_it().await?;
            engine.docker.create_container(Some(options), body).await?
        }
        created => created?,
    };
    for warning in &created.warnings {
        writeln!(std::io::stderr().lock(), "WARNING: {warning}")?;
    }
    Ok(created.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_why_a_program_did_not_start() {
        assert_eq!(code(r#"exec: "nope": executable file not found in $PATH"#), NOT_FOUND);
        assert_eq!(code(r#"exec: "/etc": is a directory: permission denied"#), NOT_EXECUTABLE);
        assert_eq!(code("Conflict. The container name is in use"), REFUSED);
    }
}
