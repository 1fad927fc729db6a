//! `exec`.

use std::path::PathBuf;
use std::process::ExitCode;

use bollard::models::ExecConfig;
use serde_json::{Value, json};

use crate::attach::{self, Sized, Wishes};
use crate::detach_keys::DetachKeys;
use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::run::environment;
use crate::{engine, raw, terminal};

/// Execute a command in a running container
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, default_value = "")]
    detach_keys: String,
    /// Set environment variables
    #[arg(short, long)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long)]
    env_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long)]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long)]
    workdir: Option<String>,
    /// The container.
    container: String,
    /// What to execute.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Executes, carries its streams, and ends as it ends.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let keys = DetachKeys::parse(&args.detach_keys)?;
    let env = environment::gather(&args.env, &args.env_file)?;
    let engine = engine::connect(global).await?;
    // Docker's client asks too, so that an unknown container is said to be one.
    raw::get(&engine, &format!("/containers/{}/json", raw::escaped(&args.container))).await?;
    if !args.detach && args.interactive && args.tty && !terminal::is_terminal(&std::io::stdin()) {
        return Err(Failure::new("the input device is not a TTY"));
    }
    let size = terminal::size().filter(|_| args.tty && !args.detach);
    let console_size = size.map(|(rows, columns)| vec![usize::from(rows), usize::from(columns)]);
    let config = ExecConfig {
        attach_stdin: Some(args.interactive && !args.detach),
        attach_stdout: Some(!args.detach),
        attach_stderr: Some(!args.detach),
        console_size: console_size.clone(),
        detach_keys: Some(args.detach_keys.clone()),
        tty: Some(args.tty),
        env: Some(env),
        cmd: Some(args.command.clone()),
        privileged: Some(args.privileged),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
    };
    let id = engine.docker.create_exec(&args.container, config).await?.id;
    let start = json!({ "Detach": args.detach, "Tty": args.tty, "ConsoleSize": console_size });
    let path = format!("/exec/{id}/start");
    if args.detach {
        let json = [("content-type", "application/json")];
        raw::send(&engine, hyper::Method::POST, &path, raw::whole(start.to_string()), &json).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let stream = raw::hijack(&engine, &path, start.to_string().into_bytes()).await?;
    let follows = args.tty && terminal::is_terminal(&std::io::stdout());
    let resizing = follows.then(|| attach::follow_size(&engine, Sized::Exec(id.clone())));
    let end = attach::converse(stream, Wishes { terminal: args.tty, input: args.interactive, keys }).await?;
    if let Some(resizing) = resizing {
        resizing.abort();
    }
    if end == attach::End::Detached {
        return Ok(ExitCode::SUCCESS);
    }
    let ended = raw::get(&engine, &format!("/exec/{id}/json")).await?;
    let code = ended.get("ExitCode").and_then(Value::as_i64).unwrap_or_default();
    Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
}
