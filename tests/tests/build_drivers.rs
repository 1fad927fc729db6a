//! The builders that buildx makes beside the engine's own.

use std::fs;

use e2e::buildx::{Context, with_buildx};
use e2e::context::output;

/// Names an archive of `moby/buildkit:buildx-stable-1`, as `docker save` writes it.
const BUILDKIT: &str = "BERTH_E2E_BUILDKIT";

#[test]
fn a_remote_builder_is_the_engines_own_socket() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM busybox\nCOPY a /a\nRUN cat /a > /b\n").write("a", "remote");
    let run = |args: &[&str]| ran(&context, args);
    let socket = format!("unix://{}", buildx.0.socket().display());
    run(&["buildx", "create", "--name", "raw", "--driver", "remote", &socket]);
    assert!(run(&["buildx", "inspect", "raw"]).contains("running"));
    run(&["buildx", "build", "--builder", "raw", "--load", "-t", "x", "."]);
    assert_eq!(output(&buildx.0, "x", &["cat", "/b"]), "remote");
    run(&["buildx", "build", "--builder", "raw", "--output", "folder", "."]);
    assert_eq!(fs::read_to_string(context.path().join("folder/b")).unwrap(), "remote");
    assert!(run(&["buildx", "du", "--builder", "raw"]).contains("Total:"));
    run(&["buildx", "prune", "--builder", "raw", "--all", "--force"]);
}

#[test]
fn a_builder_in_a_container_has_its_cache_in_a_volume_until_it_is_removed() {
    let Some(archive) = std::env::var_os(BUILDKIT).map(|path| path.to_string_lossy().into_owned()) else {
        eprintln!("skipped: {BUILDKIT} names no archive of BuildKit's image");
        return;
    };
    let Some(buildx) = with_buildx() else { return };
    let engine = &buildx.0;
    engine.ok(&["load", "--input", &archive]);
    let text = "FROM scratch\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"touch\", \"/made\"]\n\
                CMD [\"/bin/busybox\", \"stat\", \"-c\", \"%n %u\", \"/made\"]\n";
    let context = Context::new(&buildx, text);
    engine.ok(&["create", "--name", "made", "busybox"]);
    engine.ok(&["cp", "made:/bin/busybox", &context.path().to_string_lossy()]);
    let run = |args: &[&str]| ran(&context, args);
    run(&["buildx", "create", "--name", "kit", "--driver", "docker-container", "--bootstrap"]);
    let build = |name| context.run(&["buildx", "build", "--builder", "kit", "--load", "-t", name, "."]);
    let first = build("x");
    assert_eq!(first.code, 0, "{}", first.err);
    assert_eq!(output(engine, "x", &[]), "/made 0");
    run(&["buildx", "stop", "kit"]);
    assert_eq!(engine.inspect("buildx_buildkit_kit0", ".State.Status"), "exited");
    let again = build("y");
    assert_eq!((again.code, again.err.matches("CACHED").count()), (0, 2), "{}", again.err);
    assert_eq!(engine.inspect("y", ".Id"), engine.inspect("x", ".Id"));
    assert!(run(&["buildx", "du", "--builder", "kit"]).contains("Total:"));
    run(&["buildx", "rm", "kit"]);
    assert_eq!(engine.ok(&["ps", "--all", "--quiet", "--filter", "name=buildx"]), "");
    assert_eq!(engine.ok(&["volume", "ls", "--quiet", "--filter", "name=buildx"]), "");
}

/// What Docker's client prints, which must succeed.
fn ran(context: &Context<'_>, args: &[&str]) -> String {
    let said = context.run(args);
    assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    said.out
}
