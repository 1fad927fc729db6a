//! The classic build, by the real client without BuildKit.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::condition::eventually;
use e2e::context::{Context, output};
use e2e::engine::Engine;
use e2e::registry::Registry;

#[test]
fn a_first_app_is_built_tagged_and_runs() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox\nWORKDIR /app\nCOPY requirements.txt .\nRUN cat requirements.txt > installed\n\
         COPY . .\nEXPOSE 5000\nENV NAME=world\nCMD [\"sh\", \"-c\", \"cat installed; echo hello $NAME\"]\n",
    )
    .write("requirements.txt", "flask\n");
    let said = context.built(&engine, &["-t", "app", "-t", "app:v2"]);
    assert!(said.contains("Step 1/8 : FROM busybox\n ---> "), "{said}");
    assert!(said.contains("Step 4/8 : RUN cat requirements.txt > installed\n ---> Running in "), "{said}");
    assert!(said.contains("Successfully built "), "{said}");
    assert!(said.ends_with("Successfully tagged app:latest\nSuccessfully tagged app:v2"), "{said}");
    assert_eq!(output(&engine, "app", &[]), "flask\nhello world");
    let history = engine.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "app"]);
    assert!(history.contains("/bin/sh -c #(nop)  ENV NAME=world"), "{history}");
    assert!(history.contains("/bin/sh -c cat requirements.txt > installed"), "{history}");
    assert_eq!(engine.inspect("app", "len .RootFS.Layers"), "5");
    // Intermediate images are there for a look, and out of the way.
    assert!(!engine.ok(&["images", "--format", "{{.Repository}}"]).contains("<none>"));
    assert!(engine.ok(&["images", "--all", "--format", "{{.Repository}}"]).contains("<none>"));
}

#[test]
fn a_late_change_rebuilds_from_its_line_alone() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let text = "FROM busybox\nRUN head -c 16 /dev/urandom | md5sum > /early\nCOPY late /late\nRUN cat /late > /end\n";
    let context = Context::new(text).write("late", "one");
    context.built(&engine, &["-t", "x"]);
    let early = output(&engine, "x", &["cat", "/early"]);
    let first = engine.inspect("x", ".Id");
    let again = context.built(&engine, &["-t", "x"]);
    assert_eq!(again.matches("Using cache").count(), 3, "{again}");
    assert_eq!(engine.inspect("x", ".Id"), first);
    // The cache outlives the engine, and touching a file isn't changing it.
    engine.crash();
    let context = context.write("late", "one");
    assert_eq!(context.built(&engine, &["-t", "x"]).matches("Using cache").count(), 3);
    let context = context.write("late", "two");
    let changed = context.built(&engine, &["-t", "x"]);
    assert_eq!(changed.matches("Using cache").count(), 1, "{changed}");
    assert_eq!(output(&engine, "x", &["cat", "/end"]), "two");
    assert_eq!(output(&engine, "x", &["cat", "/early"]), early);
    let anew = context.built(&engine, &["-t", "x", "--no-cache"]);
    assert!(!anew.contains("Using cache"), "{anew}");
    assert_ne!(output(&engine, "x", &["cat", "/early"]), early);
}

#[test]
fn stages_are_built_when_they_are_needed() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "ARG WHAT=busybox\nFROM $WHAT AS Make\nARG WHO=nobody\nRUN echo $WHO > /out\n\
         FROM busybox AS broken\nRUN false\n\
         FROM scratch AS bare\nCOPY --from=make /out /\n\
         FROM busybox\nCOPY --from=0 /out /from-number\nCOPY --from=bare /out /from-name\n\
         COPY --from=busybox:latest /etc/passwd /from-image\n",
    );
    let said = context.built(&engine, &["-t", "x", "--build-arg", "WHO=me", "--build-arg", "ODD=1"]);
    assert!(said.contains("[Warning] One or more build-args [ODD] were not consumed"), "{said}");
    assert!(said.contains("StageNameCasing"), "{said}");
    assert_eq!(output(&engine, "x", &["cat", "/from-number", "/from-name"]), "me\nme");
    assert!(output(&engine, "x", &["cat", "/from-image"]).contains("root"));
    context.built(&engine, &["-t", "bare", "--target", "BARE"]);
    assert_eq!(engine.inspect("bare", "len .RootFS.Layers"), "1");
    let failed = context.build(&engine, &["--target", "broken"]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.err.ends_with("The command '/bin/sh -c false' returned a non-zero code: 1"),
        "{}",
        failed.err
    );
    let missing = context.build(&engine, &["--target", "nine"]);
    assert!(missing.err.contains("target stage \"nine\" could not be found"), "{}", missing.err);
}

#[test]
fn every_setting_reaches_the_images_configuration() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox\nMAINTAINER me\nLABEL a=1 b=\"two words\"\nENV X=1 Y=\"$PATH-$HOME\" Z=${NO:-none}\n\
         ARG P=80\nEXPOSE $P 53/udp\nUSER web:logs\nVOLUME [\"/data\"]\nVOLUME /more\nWORKDIR /a\nWORKDIR b\n\
         STOPSIGNAL SIGUSR1\nSHELL [\"/bin/sh\", \"-ec\"]\n\
         HEALTHCHECK --interval=1m --retries=2 CMD true\nONBUILD RUN echo onbuild > /tmp/onbuild\n\
         ENTRYPOINT [\"echo\"]\nCMD hello\n",
    );
    context.built(&engine, &["-t", "x", "--label", "c=it's"]);
    let field = |name: &str| engine.inspect("x", &format!("json .Config.{name}"));
    assert_eq!(field("Labels"), r#"{"a":"1","b":"two words","c":"it's"}"#);
    assert!(
        field("Env").ends_with(
            r#""X=1","Y=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin-","Z=none"]"#
        )
    );
    assert_eq!(field("ExposedPorts"), r#"{"53/udp":{},"80/tcp":{}}"#);
    assert_eq!(field("User"), r#""web:logs""#);
    assert_eq!(field("Volumes"), r#"{"/data":{},"/more":{}}"#);
    assert_eq!(field("WorkingDir"), r#""/a/b""#);
    assert_eq!(field("StopSignal"), r#""SIGUSR1""#);
    assert_eq!(field("Healthcheck"), r#"{"Test":["CMD-SHELL","true"],"Interval":60000000000,"Retries":2}"#);
    assert_eq!(field("OnBuild"), r#"["RUN echo onbuild > /tmp/onbuild"]"#);
    assert_eq!(field("Entrypoint"), r#"["echo"]"#);
    assert_eq!(field("Cmd"), r#"["/bin/sh","-ec","hello"]"#);
    assert_eq!(engine.inspect("x", ".Author"), "me");
    let child = Context::new("FROM x\nUSER 0\nENTRYPOINT [\"cat\"]\n");
    child.built(&engine, &["-t", "y"]);
    assert_eq!(output(&engine, "y", &["/tmp/onbuild"]), "onbuild");
    assert_eq!(engine.inspect("y", "json .Config.OnBuild"), "null");
    assert_eq!(engine.inspect("y", "json .Config.Cmd"), "null");
}

#[test]
fn copies_go_where_docker_puts_them() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox\nRUN ln -s /srv /link && mkdir -p /kept && chmod 700 /kept\n\
         COPY a.txt /one\nCOPY a.txt /folder/\nCOPY sub /whole\nCOPY sub/*.txt /globbed/\n\
         COPY --chown=web:logs --chmod=640 a.txt /owned/\nCOPY --chown=33 a.txt /numbered\n\
         COPY --parents sub/./deep/c.txt /parents/\nCOPY --exclude=*.md sub /excluded/\n\
         COPY a.txt /link/through\nCOPY --link a.txt /linked/\nCOPY sub /kept/\n\
         COPY <<one <<\"two\" /heredocs/\nname $HOSTNAME-$X\none\nname $X\ntwo\n\
         RUN <<EOF\necho first > /script\necho second >> /script\nEOF\n\
         RUN <<EOF\n#!/bin/sh\necho $0 > /hashbang\nEOF\n",
    )
    .write("a.txt", "a")
    .write("sub/b.txt", "b")
    .write("sub/d.md", "d")
    .write("sub/deep/c.txt", "c");
    context.built(&engine, &["-t", "x"]);
    let files = output(
        &engine,
        "x",
        &[
            "sh",
            "-c",
            "find /one /folder /whole /globbed /owned /parents /excluded /srv /linked /kept /heredocs -type f | sort",
        ],
    );
    assert_eq!(
        files.lines().collect::<Vec<_>>(),
        [
            "/excluded/b.txt",
            "/excluded/deep/c.txt",
            "/folder/a.txt",
            "/globbed/b.txt",
            "/heredocs/one",
            "/heredocs/two",
            "/kept/b.txt",
            "/kept/d.md",
            "/kept/deep/c.txt",
            "/linked/a.txt",
            "/one",
            "/owned/a.txt",
            "/parents/deep/c.txt",
            "/srv/through",
            "/whole/b.txt",
            "/whole/d.md",
            "/whole/deep/c.txt",
        ]
    );
    let stat = |path: &str| output(&engine, "x", &["stat", "-c", "%u:%g %a", path]);
    assert_eq!(stat("/owned/a.txt"), "33:44 640");
    assert_eq!(stat("/numbered"), "33:33 644");
    assert_eq!(stat("/one"), "0:0 644");
    assert_eq!(stat("/kept"), "0:0 700");
    assert_eq!(output(&engine, "x", &["cat", "/heredocs/one", "/heredocs/two"]), "name -\nname $X");
    assert_eq!(output(&engine, "x", &["cat", "/script"]), "first\nsecond");
    assert!(output(&engine, "x", &["cat", "/hashbang"]).ends_with("/EOF"));
    let missing = Context::new("FROM busybox\nCOPY nothing /\n").build(&engine, &[]);
    let words = "COPY failed: file not found in build context or excluded by .dockerignore: stat nothing: file does not exist";
    assert!(missing.err.contains(words), "{}", missing.err);
}

#[test]
fn add_unpacks_archives_of_every_compression() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox\nADD p.tar /p/\nADD g.tgz /g/\nADD b.tar.bz2 /b/\nADD x.tar.xz /x/\nADD --unpack=false p.tar /kept.tar\nCOPY g.tgz /copied/\n",
    );
    let content = tempfile::tempdir().unwrap();
    fs::write(content.path().join("file"), "packed").unwrap();
    for (flag, name) in [("", "p.tar"), ("z", "g.tgz"), ("j", "b.tar.bz2"), ("J", "x.tar.xz")] {
        let status = Command::new("tar")
            .arg(format!("c{flag}f"))
            .arg(context.path().join(name))
            .arg("-C")
            .arg(content.path())
            .arg("file")
            .status();
        assert!(status.unwrap().success(), "tar c{flag}");
    }
    context.built(&engine, &["-t", "x"]);
    assert_eq!(
        output(&engine, "x", &["cat", "/p/file", "/g/file", "/b/file", "/x/file"]),
        "packed".repeat(4)
    );
    output(&engine, "x", &["ls", "/kept.tar", "/copied/g.tgz"]);
}

#[test]
fn what_is_ignored_never_arrives() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new("FROM busybox\nCOPY . /all\n")
        .write(".dockerignore", "*.log\n/build\n!build/keep\n**/secret\nDockerfile\n")
        .write("a.log", "")
        .write("sub/b.log", "")
        .write("build/x", "")
        .write("build/keep", "")
        .write("deep/er/secret", "");
    // A client that sends everything is served the same: the archive comes from tar, not from the docker client.
    let mut tar = Command::new("tar")
        .args(["c", "-C"])
        .arg(context.path())
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut client = engine.client(&["build", "-t", "raw", "-"]);
    let built = client.env("DOCKER_BUILDKIT", "0").stdin(tar.stdout.take().unwrap()).output().unwrap();
    tar.wait().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    context.built(&engine, &["-t", "x"]);
    for image in ["x", "raw"] {
        let files = output(&engine, image, &["sh", "-c", "cd /all; find . -type f | sort"]);
        assert_eq!(files, "./.dockerignore\n./build/keep\n./sub/b.log", "{image}");
    }
}

#[test]
fn mounts_bring_files_that_dont_stay() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox AS tools\nRUN echo tool > /tool\n\
         FROM busybox\n\
         RUN --mount=type=cache,target=/cache echo kept >> /cache/log && cp /cache/log /log\n\
         RUN --mount=from=tools,source=/tool,target=/mnt/tool cp /mnt/tool /copied\n\
         RUN --mount=target=/src,rw cp /src/a /from-context && echo changed > /src/a\n\
         RUN --mount=type=tmpfs,target=/scratch echo x > /scratch/x && test -e /scratch/x\n\
         RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n\
         RUN --network=none sh -c '! ip route | grep default' && test ! -e /scratch/x\n\
         COPY a /after\n",
    )
    .write("a", "context");
    context.built(&engine, &["-t", "x"]);
    assert_eq!(
        output(&engine, "x", &["cat", "/log", "/copied", "/from-context", "/after"]),
        "kept\ntool\ncontextcontext"
    );
    context.built(&engine, &["-t", "x", "--no-cache"]);
    assert_eq!(output(&engine, "x", &["cat", "/log"]), "kept\nkept");
    output(&engine, "x", &["sh", "-c", "test ! -e /cache && test ! -e /mnt && test ! -e /scratch"]);
}

#[test]
fn a_step_leaves_no_trace_of_its_mounts() {
    let Some(engine) = Engine::with_busybox() else { return };
    let on_busybox = Context::new("FROM busybox\nRUN true\n");
    on_busybox.built(&engine, &["-t", "same"]);
    assert_eq!(engine.inspect("same", "len .RootFS.Layers"), "1");
    let context = Context::new("FROM scratch\nCOPY --from=busybox /bin /bin\nRUN true\nRUN echo x > /made\n");
    context.built(&engine, &["-t", "x"]);
    // `true` changed nothing and made no layer.
    assert_eq!(engine.inspect("x", "len .RootFS.Layers"), "2");
    assert_eq!(output(&engine, "x", &["cat", "/made"]), "x");
    let layer = output(&engine, "x", &["sh", "-c", "ls -A / | tr '\\n' ' '"]);
    assert!(layer.contains("made"), "{layer}");
}

#[test]
fn a_broken_dockerfile_is_refused_with_its_line() {
    let Some(engine) = Engine::with_busybox() else { return };
    for (text, words) in [
        (
            "FROM busybox\n\nRUNN x\n",
            "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
        ),
        ("RUN x\n", "no build stage in current context"),
        ("# nothing\n", "file with no instructions"),
        ("FROM busybox\nCOPY a\n", "COPY requires at least two arguments"),
        ("FROM busybox\nRUN <<E\nx\n", "unterminated heredoc"),
        ("FROM busybox\nENV A=${B:?missing}\n", "B: missing"),
        ("FROM busybox\nADD git@example.com:x.git /\n", "unset ssh forward key default"),
    ] {
        let said = Context::new(text).build(&engine, &[]);
        assert_eq!(said.code, 1, "{text}");
        assert!(said.err.contains(words), "{text}: {}", said.err);
    }
}

#[test]
fn links_of_a_context_lead_nowhere_else() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox\nRUN ln -s ../../../../../../tmp /up\nCOPY up-link /\nCOPY a /up/placed\n",
    )
    .write("a", "a");
    symlink("/etc/hostname", context.path().join("up-link")).unwrap();
    let said = context.build(&engine, &["-t", "x"]);
    assert!(said.err.contains("COPY failed"), "{}{}", said.out, said.err);
    let context = Context::new("FROM busybox\nRUN ln -s ../../../../../../tmp /up\nCOPY a /up/placed\n")
        .write("a", "a");
    context.built(&engine, &["-t", "x"]);
    assert_eq!(output(&engine, "x", &["cat", "/tmp/placed"]), "a");
    assert!(!Path::new("/tmp/placed").exists());
}

#[test]
fn a_client_that_leaves_ends_its_build() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let context = Context::new("FROM busybox\nRUN touch /started; sleep 1000\n");
    let mut client =
        context.command(&engine, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let steps = engine.exec_root().join("builder");
    let running =
        || fs::read_dir(&steps).ok()?.flatten().find(|step| step.path().join("rootfs/started").exists());
    eventually("the step runs", running);
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("nothing is left", || fs::read_dir(&steps).ok()?.next().is_none().then_some(()));
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn an_engine_that_is_killed_leaves_no_step_behind() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let context = Context::new("FROM busybox\nRUN touch /started; sleep 1000\n");
    let mut client =
        context.command(&engine, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let steps = engine.exec_root().join("builder");
    let running =
        || fs::read_dir(&steps).ok()?.flatten().find(|step| step.path().join("rootfs/started").exists());
    eventually("the step runs", running);
    engine.crash();
    client.wait().unwrap();
    eventually("nothing is left", || fs::read_dir(&steps).ok()?.next().is_none().then_some(()));
    let small = Context::new("FROM busybox\nRUN echo works\n");
    assert!(small.built(&engine, &[]).contains("works"));
}

#[test]
fn pruning_the_cache_frees_it_and_the_next_build_starts_over() {
    let Some(engine) = Engine::with_busybox() else { return };
    // Nothing of other tests, which share a machine's engine.
    engine.ok(&["builder", "prune", "--all", "--force"]);
    let context = Context::new("FROM busybox\nRUN head -c 1000000 /dev/zero > /big\n");
    context.built(&engine, &["-t", "x"]);
    engine.ok(&["rmi", "x"]);
    assert!(context.built(&engine, &["-t", "x"]).contains("Using cache"));
    engine.ok(&["rmi", "x"]);
    let pruned = engine.ok(&["builder", "prune", "--all", "--force"]);
    assert!(pruned.contains("Total reclaimed space: 1MB") || pruned.contains("Total:\t1MB"), "{pruned}");
    assert!(!context.built(&engine, &["-t", "x"]).contains("Using cache"));
}

#[test]
fn permissions_and_scripts_of_the_context_survive() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new("FROM busybox\nCOPY run.sh /\nRUN /run.sh > /out\n")
        .write("run.sh", "#!/bin/sh\necho ran\n");
    fs::set_permissions(context.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    context.built(&engine, &["-t", "x"]);
    assert_eq!(output(&engine, "x", &["cat", "/out"]), "ran");
}

#[test]
fn hosts_are_added_and_errors_are_printed_in_red() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new("FROM busybox\nRUN cat /etc/hosts; echo oops >&2\n");
    let said = context.built(&engine, &["--add-host", "one:10.0.0.1", "--add-host", "two:10.0.0.2"]);
    assert!(said.contains("10.0.0.1\tone\n") && said.contains("10.0.0.2\ttwo\n"), "{said}");
    assert!(said.contains("\u{1b}[91moops\n\u{1b}[0m"), "{said:?}");
}

#[test]
fn a_cache_that_isnt_there_serves_nothing() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new("FROM busybox\nENV A=b\nRUN touch /x\n");
    context.built(&engine, &["-t", "x"]);
    assert!(context.built(&engine, &["--cache-from", "x"]).contains("Using cache"));
    assert!(!context.built(&engine, &["--cache-from", "missing"]).contains("Using cache"));
}

#[test]
fn an_unpacked_archive_gets_the_owner_and_permissions_that_were_asked_for() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new(
        "FROM busybox\nADD a.tar /own/\nADD --chown=33:44 --chmod=750 a.tar /asked/\nADD --chmod=u=rw,go= a.tar /less/\n",
    );
    let mut tar = tar::Builder::new(fs::File::create(context.path().join("a.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_uid(5);
    header.set_gid(6);
    tar.append_data(&mut header, "file", b"x".as_slice()).unwrap();
    tar.finish().unwrap();
    context.built(&engine, &["-t", "x"]);
    let stat = ["stat", "-c", "%u:%g %a", "/own/file", "/asked/file", "/asked", "/less/file"];
    assert_eq!(output(&engine, "x", &stat), "5:6 644\n33:44 750\n33:44 755\n5:6 600");
}

#[test]
fn the_cache_is_pruned_by_what_its_records_are() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let context = Context::new("FROM busybox\nRUN echo one > /one\nRUN echo two > /two\n");
    context.built(&engine, &["-t", "x"]);
    let records =
        || engine.get("/v1.43/system/df?type=build-cache")["BuildCache"].as_array().unwrap().clone();
    let all = records();
    assert_eq!(all.len(), 2, "{all:?}");
    let (first, second) =
        if all[0]["Description"].as_str().unwrap().contains("one") { (0, 1) } else { (1, 0) };
    assert_eq!(all[second]["Parents"][0], all[first]["ID"]);
    assert!(all[first]["Shared"].as_bool().unwrap());
    let prune = |filter: &str| engine.docker(&["builder", "prune", "--all", "--force", "--filter", filter]);
    for keeps in ["private=true", "type=exec.cachemount", "description=nothing", "inuse=true", "label=x"] {
        assert_eq!(prune(keeps).code, 0);
        assert_eq!(records().len(), 2, "{keeps}");
    }
    let refused = prune("colour=red");
    assert!(refused.err.contains("invalid filter"), "{}", refused.err);
    let parent = format!("parent={}", all[first]["ID"].as_str().unwrap());
    assert_eq!(prune(&parent).code, 0);
    assert_eq!(records().len(), 1);
    assert_eq!(prune("shared=true").code, 0);
    assert_eq!(records().len(), 0);
}

#[test]
fn a_check_of_the_bases_is_switched_off() {
    let Some(engine) = Engine::with_busybox() else { return };
    Context::new("FROM busybox\nHEALTHCHECK CMD true\n").built(&engine, &["-t", "x"]);
    Context::new("FROM x\nHEALTHCHECK NONE\n").built(&engine, &["-t", "y"]);
    assert_eq!(engine.inspect("y", "json .Config.Healthcheck"), r#"{"Test":["NONE"]}"#);
    engine.ok(&["run", "-d", "--name", "box", "--network", "none", "y", "sleep", "1000"]);
    assert_eq!(engine.inspect("box", "if .State.Health}}checked{{else}}unchecked{{end"), "unchecked");
}

#[test]
fn a_syntax_line_names_a_frontend_that_is_ours_and_asks_nobody() {
    let Some(engine) = Engine::with_busybox() else { return };
    let text =
        "# syntax=registry.invalid/docker/dockerfile:1\n# escape=`\nFROM busybox\nRUN echo `\n  one > /f\n";
    Context::new(text).built(&engine, &["-t", "x"]);
    assert_eq!(output(&engine, "x", &["cat", "/f"]), "one");
}

#[test]
fn a_stage_is_for_the_platform_that_it_names() {
    let Some(engine) = Engine::with_busybox() else { return };
    let text = "FROM --platform=linux/s390x scratch AS other\nCOPY f /f\n\
                FROM --platform=$BUILDPLATFORM busybox AS tools\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n\
                FROM other\nCOPY --from=tools /arch /arch\n";
    let context = Context::new(text).write("f", "f");
    context.built(&engine, &["-t", "x"]);
    assert_eq!(engine.inspect("x", ".Architecture"), "s390x");
    context.built(&engine, &["-t", "y", "--target", "tools"]);
    assert_eq!(engine.inspect("y", ".Architecture"), engine.inspect("busybox", ".Architecture"));
}

#[test]
fn the_registry_is_asked_again_when_the_build_says_so() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let base = format!("{}/team/base:1", registry.address);
    for (text, tag) in [("old", "old:v1"), ("new", &*base)] {
        Context::new(&format!("FROM busybox\nRUN echo {text} > /f\n")).built(&engine, &["-t", tag]);
    }
    engine.ok(&["push", "--quiet", &base]);
    engine.ok(&["tag", "old:v1", &base]);
    let context = Context::new(&format!("FROM {base}\nCMD cat /f\n"));
    context.built(&engine, &["-t", "x"]);
    assert_eq!(output(&engine, "x", &[]), "old");
    context.built(&engine, &["-t", "x", "--pull"]);
    assert_eq!(output(&engine, "x", &[]), "new");
}
