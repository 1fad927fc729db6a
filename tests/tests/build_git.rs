//! Builds from git repositories.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::process::Command;

use e2e::buildx::{Context, with_buildx};
use e2e::context::output;
use e2e::engine::said;
use e2e::git::GitServer;
use e2e::ssh::{Agent, SshServer};

#[test]
fn repositories_are_contexts_and_sources() {
    let Some(buildx) = with_buildx() else { return };
    let Some(server) = GitServer::start(&buildx.0) else { return };
    let small =
        server.repository("small", "echo inner > inner; git add .; git commit -qm one; git rev-parse HEAD");
    let commands = format!(
        "mkdir -p app/deep; echo old > app/a; git add .; git commit -qm old; git tag -a v1 -m v1\n\
         for n in $(seq 200); do echo line $n; done > app/long; echo new > app/a; ln -s a app/link; chmod +x app/a\n\
         printf 'FROM busybox\\nCOPY . /all\\n' > app/Dockerfile\n\
         printf '[submodule \"m\"]\\n\\tpath = app/m\\n\\turl = ../../small/.git\\n' > .gitmodules\n\
         git add .; git update-index --add --cacheinfo 160000,{small},app/m; git commit -qm new\n\
         git gc -q --aggressive; git rev-parse HEAD"
    );
    let head = server.repository("main", &commands);
    let url = server.url("main");
    let git = format!("{url}/.git");
    let engine = &buildx.0;
    let context = Context::new(&buildx, "FROM busybox\nARG FROM_GIT\nADD ${FROM_GIT} /got\n");
    let client = |args: &[&str]| context.run(&[&["build"], args].concat());
    let built = client(&["-t", "x", &format!("{git}#main:app")]);
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(output(engine, "x", &["cat", "/all/a", "/all/m/inner"]), "new\ninner");
    let list =
        output(engine, "x", &["sh", "-c", "cd /all; readlink link; stat -c '%a %Y' a; wc -l < long; ls -A"]);
    assert_eq!(list, "a\n755 1000000000\n200\nDockerfile\na\nlink\nlong\nm");
    for (reference, expected) in [("#v1:app", "old"), (&*format!("#{head}:app"), "new"), (":app", "new")] {
        let address = format!("{git}{}{reference}", if reference.starts_with(':') { "#" } else { "" });
        context.built(&["-t", "y", "--build-arg", &format!("FROM_GIT={address}")]);
        assert_eq!(output(engine, "y", &["cat", "/got/a"]), expected, "{address}");
    }
    git_knows_what_is_checked_out(&context, &git, &head);
    one_stands_in_place_of_a_stage(&context, &git);
    for (address, words) in [
        (format!("{git}#nowhere"), "has no branch or tag"),
        (format!("{git}#main:nothing"), "isn't a folder of the repository"),
        (format!("{}/.git", server.url("missing")), "got error response"),
        ("git://127.0.0.1/main.git".to_owned(), "https:// and ssh alone"),
    ] {
        let failed = context.build(&["--build-arg", &format!("FROM_GIT={address}")]);
        assert!(failed.err.contains(words), "{address}: {}", failed.err);
    }
}

/// A repository as a named context that has a stage's name.
fn one_stands_in_place_of_a_stage(context: &Context<'_>, address: &str) {
    let dockerfile =
        "FROM nowhere.invalid/x AS repository\nRUN exit 1\nFROM busybox\nCOPY --from=repository a /got\n";
    fs::write(context.path().join("Dockerfile.stage"), dockerfile).unwrap();
    let named = format!("repository={address}#v1:app");
    context.built(&["-f", "Dockerfile.stage", "-t", "z", "--build-context", &named]);
    assert_eq!(output(context.engine, "z", &["cat", "/got"]), "old");
}

/// With `--keep-git-dir`, git finds the commit, its tag and unchanged files in what a build gives out.
fn git_knows_what_is_checked_out(context: &Context<'_>, address: &str, head: &str) {
    let dockerfile = "FROM scratch\nARG FROM_GIT\nADD --keep-git-dir=true ${FROM_GIT} /\n";
    fs::write(context.path().join("Dockerfile.keep"), dockerfile).unwrap();
    for (reference, described) in [("main", &head[..7]), ("v1", "v1"), (head, &head[..7])] {
        let from = format!("FROM_GIT={address}#{reference}");
        let to = format!("type=local,dest=kept-{reference}");
        context.built(&["-f", "Dockerfile.keep", "--build-arg", &from, "--output", &to]);
        let folder = context.path().join(format!("kept-{reference}"));
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "safe.directory=*", "-C"]).arg(&folder).args(args);
            let ran = said(&git.output().unwrap());
            assert_eq!(ran.code, 0, "{reference} {args:?}: {}", ran.err);
            ran.out.trim().to_owned()
        };
        assert_eq!(git(&["status", "--porcelain"]), "", "{reference}");
        assert!(git(&["describe", "--always"]).starts_with(described), "{reference}");
        assert_eq!(git(&["log", "--format=%s"]), if reference == "v1" { "old" } else { "new" });
        git(&["fsck", "--strict"]);
        assert!(git(&["remote", "get-url", "origin"]).ends_with("/main/.git"));
    }
    let url = format!("{address}#main");
    let kept = |keep: &str| {
        let keep = format!("BUILDKIT_CONTEXT_KEEP_GIT_DIR={keep}");
        let args = ["build", "--build-arg", &keep, "-f", "app/Dockerfile", "-t", "kept", &url];
        let built = context.run(&args);
        assert_eq!(built.code, 0, "{}", built.err);
        output(context.engine, "kept", &["ls", "-A", "/all"]).lines().any(|name| name == ".git")
    };
    assert!(kept("1") && !kept("0"));
}

/// A build of a repository behind SSH: its folder as the context, all of it as a source, a submodule.
fn behind_ssh(key: &str, lines: &str) {
    let Some(buildx) = with_buildx() else { return };
    let Some(agent) = Agent::start(key) else { return };
    let Some(server) = SshServer::start(&buildx.0, &agent.key(), lines) else { return };
    let small =
        server.repository("small", "echo inner > inner; git add .; git commit -qm one; git rev-parse HEAD");
    let commands = format!(
        "mkdir app; echo old > app/a; git add .; git commit -qm old; git tag -a v1 -m v1; echo new > app/a\n\
         printf 'FROM busybox\\nCOPY . /all\\n' > app/Dockerfile\n\
         printf '[submodule \"m\"]\\n\\tpath = app/m\\n\\turl = ../small\\n' > .gitmodules\n\
         git add .; git update-index --add --cacheinfo 160000,{small},app/m; git commit -qm new; git rev-parse HEAD"
    );
    let head = server.repository("it's main", &commands);
    let url = server.url("it's%20main");
    let context = Context::new(&buildx, "FROM busybox\nARG FROM_GIT\nADD ${FROM_GIT} /got\n");
    let forwarded = agent.forwarded();
    let args = ["build", "--ssh", &forwarded, "-t", "x", &format!("{url}#main:app")];
    let built = context.run(&args);
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(output(&buildx.0, "x", &["cat", "/all/a", "/all/m/inner"]), "new\ninner");
    for (reference, expected) in [("", "new"), ("#v1", "old"), (&*format!("#{head}"), "new")] {
        let from = format!("FROM_GIT={url}{reference}");
        context.built(&["-t", "y", "--ssh", &forwarded, "--build-arg", &from]);
        assert_eq!(output(&buildx.0, "y", &["cat", "/got/app/a"]), expected, "{reference}");
    }
    for (address, words) in [
        (format!("{url}#nowhere"), "has no branch or tag"),
        (server.url("missing"), "does not appear to be a git repository"),
    ] {
        let from = format!("FROM_GIT={address}");
        let failed = context.build(&["--ssh", &forwarded, "--build-arg", &from]);
        assert!(failed.code != 0 && failed.err.contains(words), "{address}: {}", failed.err);
    }
}

#[test]
fn repositories_behind_ssh_are_reached_with_the_clients_agent() {
    behind_ssh("ed25519", "AcceptEnv GIT_PROTOCOL");
}

#[test]
fn an_rsa_key_and_the_first_version_of_gits_protocol_do_as_well() {
    behind_ssh("rsa", "");
}

#[test]
fn who_has_no_agent_or_another_key_is_told_so() {
    let Some(buildx) = with_buildx() else { return };
    let (Some(known), Some(stranger)) = (Agent::start("ed25519"), Agent::start("ed25519")) else { return };
    let Some(server) = SshServer::start(&buildx.0, &known.key(), "") else { return };
    server.repository("main", "echo a > a; git add .; git commit -qm one");
    let context = Context::new(&buildx, "FROM busybox\nARG FROM_GIT\nADD ${FROM_GIT} /got\n");
    let from = format!("FROM_GIT={}#main", server.url("main"));
    let without = context.build(&["--build-arg", &from]);
    assert!(without.code != 0 && without.err.contains("unset ssh forward key default"), "{}", without.err);
    assert!(without.err.contains("--ssh default"), "{}", without.err);
    let refused = context.build(&["--ssh", &stranger.forwarded(), "--build-arg", &from]);
    assert!(refused.code != 0 && refused.err.contains("Permission denied (publickey)"), "{}", refused.err);
}
