//! Builds with the buildx plugin, which speaks BuildKit's gRPC.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::process::{Command, Stdio};

use e2e::buildx::{self, Context, cached, with_buildx};
use e2e::condition::eventually;
use e2e::context::output;
use e2e::engine::Engine;
use e2e::linked;
use e2e::registry::Registry;
use e2e::ssh::Agent;

#[test]
fn stages_are_built_at_once_and_from_the_cache_the_next_time() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox AS a\nENV V=one\nRUN echo $V > /one\nFROM busybox AS broken\nRUN false\n\
                FROM busybox\nCOPY --from=a /one /\nCOPY . /all\nLABEL x=1\nCMD [\"cat\", \"/one\"]\n";
    let context = Context::new(&buildx, text).write("file", "content").write(".dockerignore", "Dockerfile\n");
    let first = context.built(&["-t", "x", "--label", "y=2"]);
    assert!(first.contains("[a 2/2] RUN echo one > /one"), "{first}");
    assert!(first.contains("naming to docker.io/library/x:latest"), "{first}");
    assert!(!first.contains("RUN false"), "{first}");
    let engine = &buildx.0;
    assert_eq!(output(engine, "x", &[]), "one");
    assert_eq!(output(engine, "x", &["ls", "-A", "/all"]), ".dockerignore\nfile");
    assert_eq!(engine.inspect("x", "json .Config.Labels"), r#"{"x":"1","y":"2"}"#);
    let history = engine.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]);
    assert!(history.contains("COPY /one / # buildkit\n"), "{history}");
    let id = engine.inspect("x", ".Id");
    let again = context.built(&["-t", "x", "--label", "y=2"]);
    assert_eq!(again.matches("CACHED").count(), 3, "{again}");
    assert_eq!(engine.inspect("x", ".Id"), id);
    let anew = context.built(&["--no-cache"]);
    assert!(cached(&anew).iter().all(|step| step.contains("FROM")), "{anew}");
    // No intermediate images.
    assert!(!engine.ok(&["images", "--all", "--filter", "dangling=true", "--quiet"]).contains('\n'));
}

#[test]
fn a_run_is_remembered_with_the_arguments_that_it_saw() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox\nARG UNSET\nARG B=2 A=1\nENV A=9\nRUN echo $A$B > /seen\nARG B=3\n\
                RUN <<script\n#!/bin/sh\necho $A$B >> /seen\nscript\nCMD [\"cat\", \"/seen\"]\n";
    Context::new(&buildx, text).built(&["-t", "x"]);
    assert_eq!(output(&buildx.0, "x", &[]), "92\n93");
    let history = buildx.0.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]);
    let runs: Vec<&str> = history.lines().filter(|line| line.starts_with("RUN ")).collect();
    let script = "RUN |3 UNSET= B=3 A=9 /bin/sh -c /dev/pipes/script # buildkit";
    assert_eq!(runs, [script, "RUN |3 UNSET= B=2 A=9 /bin/sh -c echo $A$B > /seen # buildkit"]);
}

#[test]
fn only_what_changed_is_sent_again() {
    let Some(buildx) = with_buildx() else { return };
    let big = "x".repeat(300_000);
    let context = Context::new(&buildx, "FROM busybox\nCOPY . /all\n").write("big", &big).write("gone", "1");
    assert!(sent(&context.built(&["-t", "x"])) > 300_000.0);
    fs::remove_file(context.path().join("gone")).unwrap();
    let context = context.write("small", "new");
    assert!(sent(&context.built(&["-t", "x"])) < 1000.0);
    assert_eq!(output(&buildx.0, "x", &["ls", "/all"]), "Dockerfile\nbig\nsmall");
}

/// The bytes of the context that a build's progress tells of.
fn sent(said: &str) -> f64 {
    let line = said.lines().rfind(|line| line.contains("transferring context:")).unwrap();
    let amount = line.split("context: ").nth(1).unwrap().split_whitespace().next().unwrap();
    let digits = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = [("MB", 1e6), ("kB", 1e3)].iter().find(|(unit, _)| amount.ends_with(unit));
    digits.parse::<f64>().unwrap() * factor.map_or(1.0, |(_, factor)| *factor)
}

#[test]
fn of_twenty_thousand_files_one_is_sent_again_and_only_its_step_is_rebuilt() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox\nCOPY others /others\nCOPY many/17 /many\nRUN cat /many/7 > /seen\n";
    let mut context = Context::new(&buildx, text).write("others/a", "a");
    for number in 0..20_000 {
        context = context.write(&format!("many/{}/{}", number / 500, number % 500), &"x".repeat(100));
    }
    assert!(sent(&context.built(&["-t", "x"])) >= 2e6);
    let context = context.write("many/17/7", "changed");
    let again = context.built(&["-t", "x"]);
    assert!(sent(&again) < 1e3, "{again}");
    let cached = |step: &str| {
        let number = again.lines().find(|line| line.contains(step)).unwrap().split(' ').next().unwrap();
        again.contains(&format!("{number} CACHED"))
    };
    assert!(cached("COPY others") && !cached("COPY many") && !cached("RUN cat"), "{again}");
    assert_eq!(output(&buildx.0, "x", &["cat", "/seen"]), "changed");
    let context = context.write("many/17/7", &"x".repeat(100));
    assert_eq!(context.built(&["-t", "x"]).matches("CACHED").count(), 3);
}

#[test]
fn a_context_that_is_copied_twice_is_there_twice_and_each_copy_is_its_own() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox\nRUN mkdir -m 700 /one && echo below | tee /one/7 > /one/kept\nCOPY many /one\n\
                COPY many /two\nRUN cp /one/7 /two/8 && echo mine > /one/7 && cat /two/7 /two/8 > /seen\n";
    let mut context = Context::new(&buildx, text);
    for number in 0..600 {
        context = context.write(&format!("many/{number}"), &format!("file {number}\n"));
    }
    context.built(&["-t", "x"]);
    let context = context.write("many/7", "changed\n");
    context.built(&["-t", "y"]);
    let said =
        |image| output(&buildx.0, image, &["sh", "-c", "cat /seen /one/7 /one/9 /one/kept; stat -c %a /one"]);
    assert_eq!(said("x"), "file 7\nfile 7\nmine\nfile 9\nbelow\n700");
    assert_eq!(said("y"), "changed\nchanged\nmine\nfile 9\nbelow\n700");
    buildx.0.ok(&["rmi", "x"]);
    buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    assert_eq!(said("y"), "changed\nchanged\nmine\nfile 9\nbelow\n700");
}

#[test]
fn secrets_and_named_contexts_come_from_the_client() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(
        &buildx,
        "FROM base\nRUN --mount=type=secret,id=tok,required cat /run/secrets/tok > /got\n\
         RUN --mount=type=secret,id=tok,env=TOK echo $TOK > /env\nCOPY --from=other n.txt /\n\
         RUN --mount=from=other,target=/o cp /o/n.txt /mounted\n",
    )
    .write("tok", "s3cr3t")
    .write("other/n.txt", "named");
    let args = ["-t", "x", "--secret", "id=tok,src=tok", "--build-context", "other=other"];
    context.built(&[args.as_slice(), &["--build-context", "base=docker-image://busybox"]].concat());
    let engine = &buildx.0;
    assert_eq!(
        output(engine, "x", &["cat", "/got", "/env", "/n.txt", "/mounted"]),
        "s3cr3ts3cr3t\nnamednamed"
    );
    output(engine, "x", &["test", "!", "-e", "/run/secrets"]);
    let without = context.build(&[
        "--no-cache",
        "--build-context",
        "other=other",
        "--build-context",
        "base=docker-image://busybox",
    ]);
    assert!(without.err.contains("secret tok: not found"), "{}", without.err);
}

#[test]
fn an_agent_is_forwarded_to_the_step() {
    let Some(buildx) = with_buildx() else { return };
    let Some(agent) = Agent::start("ed25519") else { return };
    let text = "FROM busybox\nCOPY root /\nRUN --mount=type=ssh ssh-add -L > /keys\nRUN test -z \"$SSH_AUTH_SOCK\"\n";
    let context = Context::new(&buildx, text);
    linked::copy("/usr/bin/ssh-add", &context.path().join("root"));
    context.built(&["-t", "x", "--ssh", &agent.forwarded()]);
    let key = fs::read_to_string(agent.key().with_extension("pub")).unwrap();
    assert_eq!(output(&buildx.0, "x", &["cat", "/keys"]), key.trim_end());
    let without = context.build(&["--no-cache"]);
    assert_eq!(without.code, 1, "{}", without.out);
}

#[test]
fn a_dockerfile_of_another_name_has_an_ignore_file_of_its_own() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM scratch\n")
        .write("build/Other", "FROM busybox\nCOPY . /all\n")
        .write("build/Other.dockerignore", "two\nbuild\n")
        .write(".dockerignore", "one\n")
        .write("one", "")
        .write("two", "");
    context.built(&["-t", "x", "-f", "build/Other"]);
    assert_eq!(output(&buildx.0, "x", &["ls", "-A", "/all"]), ".dockerignore\nDockerfile\none");
}

#[test]
fn independent_stages_run_at_once() {
    let Some(buildx) = with_buildx() else { return };
    // Each waits for the other, for half a minute at most.
    let meet = |own: &str, other: &str| {
        format!(
            "FROM busybox AS {own}\nRUN --mount=type=cache,target=/c touch /c/{own}; for i in $(seq 300); do \
             test -e /c/{other} && touch /{own} && exit; sleep 0.1; done; exit 1\n"
        )
    };
    let text = format!(
        "{}{}FROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
        meet("one", "two"),
        meet("two", "one")
    );
    Context::new(&buildx, &text).built(&["-t", "x"]);
    output(&buildx.0, "x", &["ls", "/one", "/two"]);
}

#[test]
fn a_step_leaves_the_sandbox_only_when_the_engine_and_the_client_allow_it() {
    let Some(config) = buildx::config() else { return };
    let Some(engine) = Engine::configured(
        r#"{"builder": {"entitlements": {"network-host": false, "security-insecure": true}}}"#,
        &[],
    ) else {
        return;
    };
    engine.load_busybox();
    let buildx = (engine, config);
    let text = "FROM busybox\nUSER 33\nRUN --security=insecure grep CapEff /proc/self/status > /tmp/caps\n\
                USER 0\nRUN --security=insecure mkdir /m && mount -t tmpfs none /m && umount /m\n\
                RUN --security=sandbox ! mount -t tmpfs none /m\n";
    let context = Context::new(&buildx, text);
    let refused = context.build(&[]);
    assert!(refused.err.contains("security.insecure is not allowed"), "{}", refused.err);
    context.built(&["-t", "x", "--allow", "security.insecure"]);
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    assert_eq!(output(&buildx.0, "x", &["cat", "/tmp/caps"]), format!("CapEff:\t{bounding}"));
    let context = Context::new(&buildx, "FROM busybox\nRUN --network=host true\n");
    let refused = context.build(&[]);
    assert!(refused.err.contains("network.host is not allowed"), "{}", refused.err);
    let refused = context.build(&["--allow", "network.host"]);
    let words = "granting entitlement network.host is not allowed by build daemon configuration";
    assert!(refused.err.contains(words), "{}", refused.err);
}

#[test]
fn a_client_that_leaves_ends_its_build() {
    let Some(buildx) = with_buildx() else { return };
    if std::env::var_os("BERTH_E2E_SOCKET").is_some() {
        eprintln!("skipped: this looks at the engine from outside, which the VM doesn't allow");
        return;
    }
    let context = Context::new(&buildx, "FROM busybox\nRUN touch /started; sleep 1000\n");
    let mut command = context.client(&["build", "."]);
    let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let steps = buildx.0.exec_root().join("builder");
    let running =
        || fs::read_dir(&steps).ok()?.flatten().find(|step| step.path().join("rootfs/started").exists());
    eventually("the step runs", running);
    // As Ctrl-C does: the client tells its plugin.
    drop(Command::new("kill").args(["-INT", &client.id().to_string()]).status());
    client.wait().unwrap();
    eventually("nothing is left", || fs::read_dir(&steps).ok()?.next().is_none().then_some(()));
}

#[test]
fn contexts_and_dockerfiles_come_by_standard_input() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM busybox\nCOPY a /a\n").write("a", "archived");
    let mut tar = Command::new("tar");
    let mut tar = tar.args(["c", "."]).current_dir(context.path()).stdout(Stdio::piped()).spawn().unwrap();
    let archive = tar.stdout.take().unwrap();
    let built = context.client(&["build", "-t", "x", "-"]).stdin(archive).output().unwrap();
    tar.wait().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(output(&buildx.0, "x", &["cat", "/a"]), "archived");
    let file = fs::File::open(context.path().join("Dockerfile")).unwrap();
    let built = context.client(&["build", "-t", "y", "-f", "-", "."]).stdin(file).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(output(&buildx.0, "y", &["cat", "/a"]), "archived");
}

#[test]
fn the_cache_is_listed_and_pruned() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(
        &buildx,
        "FROM busybox\nCOPY sent /sent\n\
         RUN --mount=type=cache,target=/c echo x > /c/y; head -c 1000000 /dev/zero > /big\n",
    )
    .write("sent", "sent");
    // Other tests of the same engine leave more than counts here.
    buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    context.built(&[]);
    let run = |args: &[&str]| {
        let said = context.run(&[&["buildx"], args].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        said.out
    };
    assert!(run(&["ls"]).contains("running"));
    assert!(run(&["inspect"]).contains("linux/"));
    let usage = run(&["du", "--verbose"]);
    assert!(usage.contains("exec.cachemount") && usage.contains("RUN --mount=type=cache"), "{usage}");
    // What the client sent of its folders is kept, and counts.
    assert!(usage.contains("source.local"), "{usage}");
    assert!(run(&["prune", "--force", "--filter", "type=source.local"]).contains("Total:"));
    assert!(!run(&["du", "--verbose"]).contains("source.local"));
    context.built(&[]);
    let wrong = context.run(&["buildx", "prune", "--force", "--filter", "x=1"]);
    assert!(wrong.err.contains("records of the build cache have no such field"), "{}", wrong.err);
    assert!(run(&["prune", "--force", "--filter", "until=1h"]).contains("Total:\t0B"));
    buildx.0.ok(&[
        "image",
        "rm",
        "--force",
        &buildx.0.ok(&["images", "--quiet", "--filter", "dangling=true"]),
    ]);
    let pruned = run(&["prune", "--all", "--force"]);
    assert!(pruned.contains("Total:\t1MB"), "{pruned}");
    assert!(!run(&["du"]).contains("regular"));
    assert!(!context.built(&[]).contains("CACHED"));
}

#[test]
fn an_images_noted_steps_are_a_cache_elsewhere() {
    let Some(buildx) = with_buildx() else { return };
    let Some(registry) = Registry::start(&buildx.0) else { return };
    let name = format!("{}/team/cached:v1", registry.address);
    let context =
        Context::new(&buildx, "FROM busybox\nRUN head -c 16 /dev/urandom | md5sum > /x\nCOPY a /a\n")
            .write("a", "a");
    context.built(&["-t", &name, "--push", "--cache-to", "type=inline"]);
    let made = output(&buildx.0, &name, &["cat", "/x"]);
    buildx.0.ok(&["rmi", "--force", &name]);
    buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    let again = context.built(&["-t", "again", "--cache-from", &name]);
    assert_eq!(again.matches("CACHED").count(), 2, "{again}");
    assert_eq!(output(&buildx.0, "again", &["cat", "/x"]), made);
    // The image that served isn't kept under its name.
    assert!(!buildx.0.ok(&["images", "--format", "{{.Repository}}"]).contains("cached"));
    let missing = context.built(&["--cache-from", &format!("{}/team/missing:v1", registry.address)]);
    assert!(missing.contains("importing cache manifest from"), "{missing}");
}

#[test]
fn caches_are_kept_in_registries_and_folders() {
    let Some(buildx) = with_buildx() else { return };
    let Some(registry) = Registry::start(&buildx.0) else { return };
    let text = "FROM busybox AS early\nRUN head -c 16 /dev/urandom | md5sum > /x\n\
                FROM busybox\nCOPY --from=early /x /x\nRUN cat /x > /y\n";
    let context = Context::new(&buildx, text);
    let forget = || {
        buildx.0.docker(&["rmi", "--force", "x"]);
        buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    };
    let reference = format!("{}/team/cache:v1", registry.address);
    let to_registry = format!("type=registry,ref={reference},mode=max");
    let from_registry = format!("type=registry,ref={reference}");
    let to_index = format!("{to_registry},image-manifest=false");
    for (to, from) in [
        (to_registry.as_str(), from_registry.as_str()),
        (to_index.as_str(), from_registry.as_str()),
        ("type=local,dest=kept,mode=max", "type=local,src=kept"),
    ] {
        let said = context.built(&["-t", "x", "--cache-to", to]);
        assert!(said.contains("exporting cache to"), "{said}");
        let made = output(&buildx.0, "x", &["cat", "/y"]);
        forget();
        let again = context.built(&["-t", "x", "--cache-from", from]);
        assert_eq!(again.matches("CACHED").count(), 3, "{from}: {again}");
        assert_eq!(output(&buildx.0, "x", &["cat", "/y"]), made, "{from}");
        forget();
    }
    // With the result's steps alone, the stage before is made again.
    let least = format!("type=registry,ref={reference}-min");
    context.built(&["-t", "x", "--cache-to", &least]);
    forget();
    let again = context.built(&["-t", "x", "--cache-from", &least]);
    assert!(again.matches("CACHED").count() < 3, "{again}");
    let missing = context.build(&["--cache-from", "type=local,src=nowhere"]);
    assert_eq!(missing.code, 0, "{}", missing.err);
}

#[test]
fn the_same_sources_at_the_same_time_are_the_same_image() {
    let Some(buildx) = with_buildx() else { return };
    let text =
        "FROM busybox\nARG SOURCE_DATE_EPOCH\nWORKDIR /made/here\nCOPY a /a\nRUN echo b > /b\nENV x=y\n";
    let context = Context::new(&buildx, text).write("a", "a");
    let build = |name: &str| {
        let output = format!("type=image,name={name},rewrite-timestamp=true");
        let args = ["--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", "--output", &output];
        context.built(&args);
        buildx.0.inspect(name, ".Id")
    };
    let first = build("docker.io/library/one:v1");
    assert_eq!(build("docker.io/library/two:v1"), first);
    let engine = &buildx.0;
    assert_eq!(engine.inspect("one:v1", ".Created"), "2001-09-09T01:46:40Z");
    let times = output(engine, "one:v1", &["stat", "-c", "%Y", "/a", "/b", "/made/here"]);
    assert_eq!(times, "1000000000\n1000000000\n1000000000");
    let history = engine.ok(&["history", "--format", "{{.CreatedAt}}", "--human=false", "one:v1"]);
    assert_eq!(
        history.lines().filter(|line| line.starts_with("2001-09-09T01:46:40")).count(),
        6,
        "{history}"
    );
    let without = context.build(&["--output", "type=image,name=x,rewrite-timestamp=true"]);
    assert!(without.err.contains("SOURCE_DATE_EPOCH"), "{}", without.err);
}

#[test]
fn steps_know_their_machine_by_the_name_that_was_asked_for() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM busybox\nRUN hostname > /name; cat /etc/hostname >> /name\n");
    context.built(&["-t", "x"]);
    assert_eq!(output(&buildx.0, "x", &["cat", "/name"]), "buildkitsandbox\nbuildkitsandbox");
    context.built(&["-t", "x", "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=named"]);
    assert_eq!(output(&buildx.0, "x", &["cat", "/name"]), "named\nnamed");
}

#[test]
fn a_linked_copy_is_not_made_again_on_another_base() {
    let Some(buildx) = with_buildx() else { return };
    let text = "ARG BASE=one\nFROM busybox AS one\nRUN echo one > /base\nFROM busybox AS two\nRUN echo two > /base\n\
                FROM $BASE\nCOPY --link --chown=33:33 a /deep/folder/a\nCOPY --chown=33:33 a /copied/a\n";
    let context = Context::new(&buildx, text).write("a", "linked");
    context.built(&["-t", "x"]);
    let again = context.built(&["-t", "y", "--build-arg", "BASE=two"]);
    let shown = [
        "[two 1/2] FROM docker.io/library/busybox:latest",
        "[stage-2 1/2] COPY --link --chown=33:33 a /deep/folder/a",
    ];
    assert_eq!(cached(&again), shown, "{again}");
    let engine = &buildx.0;
    let layers = |image: &str| engine.inspect(image, "json .RootFS.Layers");
    let (x, y): (Vec<String>, Vec<String>) =
        (serde_json::from_str(&layers("x")).unwrap(), serde_json::from_str(&layers("y")).unwrap());
    assert_eq!((x.len(), &x[2]), (4, &y[2]));
    assert_eq!(output(engine, "y", &["cat", "/base", "/deep/folder/a"]), "two\nlinked");
    assert_eq!(output(engine, "y", &["stat", "-c", "%u:%g", "/deep/folder/a"]), "33:33");
    let id = engine.inspect("y", ".Id");
    context.built(&["-t", "y", "--build-arg", "BASE=two"]);
    assert_eq!(engine.inspect("y", ".Id"), id);
    let anew = context.built(&["--no-cache", "--build-arg", "BASE=two"]);
    assert!(cached(&anew).iter().all(|step| step.contains("FROM")), "{anew}");
}

#[test]
fn what_changes_nothing_is_a_layer_as_with_buildkit_and_none_with_the_classic_builder() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox\nRUN true\nWORKDIR /\nWORKDIR /bin\nRUN echo x > /made\n\
                HEALTHCHECK --interval=5s --retries=10 CMD true\n";
    let context = Context::new(&buildx, text);
    context.built(&["-t", "x"]);
    let engine = &buildx.0;
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    let layers = |image: &str| -> Vec<String> {
        serde_json::from_str(&engine.inspect(image, "json .RootFS.Layers")).unwrap()
    };
    let made = layers("x");
    assert_eq!((made.len(), &made[1..3]), (4, [empty.to_owned(), empty.to_owned()].as_slice()));
    assert_eq!(output(engine, "x", &["cat", "/made"]), "x");
    let health = |image: &str| {
        let told = engine.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", image]);
        told.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(health("x"), r#"HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" '\n'}"#);
    let archive = context.path().join("x.tar").to_string_lossy().into_owned();
    engine.ok(&["save", "-o", &archive, "x"]);
    engine.ok(&["rmi", "x"]);
    engine.ok(&["load", "-i", &archive]);
    assert_eq!(layers("x"), made);

    let classic = e2e::context::Context::new(text);
    classic.built(engine, &["-t", "y"]);
    assert_eq!(layers("y").len(), 2);
    assert_eq!(health("y"), "/bin/sh -c #(nop)  HEALTHCHECK &{[CMD-SHELL true] 5s 0s 0s 0s 10}");
}
