//! Images through the unmodified `docker` client and a real registry.

use e2e::context::Context;
use e2e::engine::Engine;
use e2e::registry::Registry;

const BUSYBOX: &str = "busybox:latest";

#[test]
fn an_image_goes_to_a_registry_and_comes_back_by_tag_and_by_digest() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let name = format!("{}/team/box:1", registry.address);
    let id = engine.inspect(BUSYBOX, ".Id");
    engine.ok(&["tag", BUSYBOX, &name]);
    let pushed = engine.ok(&["push", &name]);
    let digest =
        pushed.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest").to_owned();
    engine.ok(&["rmi", &name, BUSYBOX]);
    assert_eq!(engine.ok(&["images", "-q"]), "");
    let path = format!("/v1.44/distribution/{name}/json");
    let remote = engine.get(&path);
    assert_eq!(
        (remote["Descriptor"]["digest"].as_str(), &remote["Platforms"][0]["os"]),
        (Some(&*digest), &"linux".into())
    );

    let pulled = engine.ok(&["pull", &name]);
    assert!(pulled.contains(&format!("Status: Downloaded newer image for {name}")), "{pulled}");
    assert_eq!(engine.inspect(&name, ".Id"), id);
    assert!(engine.ok(&["pull", &name]).contains("Image is up to date"));
    let by_digest = format!("{}/team/box@{digest}", registry.address);
    engine.ok(&["rmi", &name]);
    engine.ok(&["pull", &by_digest]);
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", &by_digest, "echo", "back"]), "back");
}

#[test]
fn a_missing_image_is_told_in_the_registrys_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let said = engine.docker(&["pull", &format!("{}/team/nothing:1", registry.address)]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("not found: manifest unknown"), "{said:?}");
}

#[test]
fn a_whole_repository_is_pushed_and_pulled() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let repository = format!("{}/team/many", registry.address);
    let [one, two, three] = ["one", "two", "three"].map(|tag| format!("{repository}:{tag}"));
    assert!(engine.docker(&["push", &one]).err.contains("An image does not exist locally with the tag"));
    engine.ok(&["tag", BUSYBOX, &one]);
    engine.ok(&["tag", BUSYBOX, &two]);
    let said = engine.docker(&["push", &three]);
    assert!(said.err.contains(&format!("tag does not exist: {three}")), "{said:?}");
    let pushed = engine.ok(&["push", "--all-tags", &repository]);
    assert!(["one", "two"].iter().all(|tag| pushed.contains(&format!("{tag}: digest: sha256:"))), "{pushed}");
    engine.ok(&["rmi", &one, &two]);
    let pulled = engine.ok(&["pull", "--all-tags", &repository]);
    assert_eq!(pulled.matches("Digest: sha256:").count(), 2, "{pulled}");
    assert!(pulled.contains(&format!("Status: Downloaded newer image for {repository}\n")), "{pulled}");
    let tags = engine.ok(&["images", "--format", "{{.Tag}}", &repository]);
    let mut tags: Vec<&str> = tags.lines().collect();
    tags.sort_unstable();
    assert_eq!(tags, ["one", "two"]);
    let nowhere = engine.docker(&["pull", "-a", &format!("{}/team/nowhere", registry.address)]);
    assert!(nowhere.err.contains("/team/nowhere not found: name unknown"), "{nowhere:?}");
}

#[test]
fn an_image_of_another_platform_is_told_apart() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let asked = |path: &str| {
        let platform = "platform=%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22s390x%22%7D";
        let (status, answer) = engine.call("GET", &format!("{path}?{platform}"), &serde_json::Value::Null);
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    for path in ["/v1.49/images/busybox/json", "/v1.48/images/busybox/history"] {
        let (status, message) = asked(path);
        assert_eq!(status, 404, "{path}");
        assert!(message.contains("does not match the specified platform (linux/s390x)"), "{message}");
    }
    assert_eq!(asked("/v1.48/images/busybox/json").0, 200, "an older client means nothing by it");
    let (status, message) = asked("/v1.48/images/busybox/get");
    assert_eq!((status, message.as_str()), (404, "no suitable export target found for platform linux/s390x"));
    let name = format!("{}/team/simple:1", registry.address);
    engine.ok(&["tag", BUSYBOX, &name]);
    engine.ok(&["push", &name]);
    engine.ok(&["rmi", &name]);
    let pulled = engine.ok(&["pull", "--platform", "linux/s390x", &name]);
    assert!(
        pulled.contains(&format!("WARNING: image with reference {name} was found but its platform")),
        "{pulled}"
    );
    let said = engine.docker(&["pull", "--platform", "nonsense", &name]);
    assert!(said.err.contains("\"nonsense\": unknown operating system or architecture"), "{said:?}");
}

#[test]
fn a_list_of_images_is_what_its_version_has() {
    let Some(engine) = Engine::with_busybox() else { return };
    let first = |version: &str| engine.get(&format!("/v{version}/images/json"))[0].clone();
    engine.ok(&["create", "--name", "user", "busybox"]);
    assert_eq!(first("1.51")["Containers"], 1);
    assert_eq!(first("1.50")["Containers"], -1);
    engine.ok(&["rm", "user"]);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("root.tar");
    std::fs::write(&archive, [0; 1024]).unwrap();
    engine.ok(&["rmi", BUSYBOX]);
    engine.ok(&["import", &archive.to_string_lossy()]);
    assert_eq!(first("1.42")["RepoTags"][0], "<none>:<none>");
    assert_eq!(first("1.43")["RepoTags"], serde_json::json!([]));
    let said = engine.docker(&["images", "--filter", "reference=["]);
    assert!(said.err.contains("syntax error in pattern"), "{said:?}");
}

#[test]
fn an_image_in_use_is_not_removed() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["create", "--name", "user", "busybox"]);
    let said = engine.docker(&["rmi", BUSYBOX]);
    assert!(said.err.contains("is using its referenced image"), "{said:?}");
    engine.ok(&["rm", "user"]);
    assert!(engine.ok(&["rmi", BUSYBOX]).contains("Untagged: busybox:latest"));
}

#[test]
fn a_saved_image_is_the_same_when_loaded() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("saved.tar").to_string_lossy().into_owned();
    let id = engine.inspect(BUSYBOX, ".Id");
    engine.ok(&["save", "-o", &archive, BUSYBOX]);
    engine.ok(&["rmi", BUSYBOX]);
    assert!(engine.docker(&["inspect", BUSYBOX]).err.contains("No such object"));
    assert_eq!(engine.ok(&["load", "-i", &archive]), "Loaded image: busybox:latest");
    assert_eq!(engine.inspect(BUSYBOX, ".Id"), id);
}

#[test]
fn of_an_archive_one_platforms_images_are_loaded_if_it_is_named() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    engine.ok(&["create", "--name", "files", BUSYBOX]);
    engine.ok(&["export", "-o", &at("root.tar"), "files"]);
    engine.ok(&["import", "--platform", "linux/s390x", &at("root.tar"), "foreign"]);
    engine.ok(&["save", "-o", &at("both.tar"), BUSYBOX, "foreign"]);
    engine.ok(&["rm", "files"]);
    engine.ok(&["rmi", BUSYBOX, "foreign"]);
    let load = |platform: &str| engine.ok(&["load", "--platform", platform, "-i", &at("both.tar")]);
    assert_eq!(load("linux/arm64"), "");
    assert_eq!(load("linux/s390x"), "Loaded image: foreign:latest");
    assert!(engine.docker(&["inspect", BUSYBOX]).err.contains("No such object"));
    assert_eq!(load("linux/amd64"), "Loaded image: busybox:latest");
}

#[test]
fn a_saved_archive_lists_names_as_old_and_new_tools_look_for_them() {
    let Some(engine) = Engine::with_busybox() else { return };
    let names = ["reg.example:5000/team/app:v1", "team/app:v1", "team/app:v2"];
    Context::new("FROM busybox\nRUN echo x > /x\n").built(&engine, &["-t", names[0]]);
    for name in &names[1..] {
        engine.ok(&["tag", names[0], name]);
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("saved.tar");
    engine.ok(&["save", "-o", archive.to_str().unwrap(), names[0], "team/app"]);
    let unpacked =
        std::process::Command::new("tar").arg("xf").arg(&archive).current_dir(folder.path()).status();
    assert!(unpacked.unwrap().success());
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    let manifest = &read("manifest.json")[0];
    assert_eq!(manifest["RepoTags"], serde_json::json!(names));
    let top = manifest["Layers"][1].as_str().unwrap();
    assert!(folder.path().join(top).exists(), "{manifest}");
    let top = top.strip_prefix("blobs/sha256/").unwrap();
    let expected = serde_json::json!({
        "reg.example:5000/team/app": { "v1": top },
        "team/app": { "v1": top, "v2": top },
    });
    assert_eq!(read("repositories"), expected);
    // Without a name there is nothing to list.
    let id = engine.inspect(names[0], ".Id");
    engine.ok(&["save", "-o", archive.to_str().unwrap(), &id]);
    let listed = std::process::Command::new("tar").arg("tf").arg(&archive).output().unwrap().stdout;
    assert!(!String::from_utf8(listed).unwrap().contains("repositories"));
}

#[test]
fn what_is_no_archive_is_refused_when_loaded() {
    let Some(engine) = Engine::start() else { return };
    let folder = tempfile::tempdir().expect("make a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let lines = "no archive\n".repeat(1000);
    std::fs::create_dir(at("etc")).expect("make a folder");
    std::fs::write(at("etc/hosts"), &lines).expect("write a file");
    let tar = |flags: &str, name: &str, what: &str| {
        let packed = std::process::Command::new("tar").args([flags, &at(name), "-C", &at(""), what]).status();
        assert!(packed.expect("run tar").success());
        std::fs::read(at(name)).expect("read the archive")
    };
    let (files, file) = (tar("-cf", "files.tar", "etc"), tar("-cf", "file.tar", "files.tar"));
    let packed = tar("-czf", "packed.tar", "etc");
    for (content, words) in [
        (b"abc".as_slice(), "unexpected EOF"),
        (lines.as_bytes(), "archive/tar: invalid tar header"),
        (&[], "open repositories: no such file or directory"),
        (&file, "open repositories: no such file or directory"),
        (&files, "open etc/json: no such file or directory"),
        (&file[..2000], "unexpected EOF"),
        (&packed[..packed.len() / 2], "unexpected EOF"),
    ] {
        std::fs::write(at("content"), content).expect("write a file");
        let said = engine.docker(&["load", "--input", &at("content")]);
        assert_eq!((said.code, said.err.as_str()), (1, words));
    }
    // The answer has begun by then, as dockerd's.
    let (status, said) = engine.send("POST /images/load", &[], "abc");
    assert_eq!(
        (status, said.trim_end()),
        (200, r#"{"error":"unexpected EOF","errorDetail":{"message":"unexpected EOF"}}"#)
    );
}

#[test]
fn a_digest_decides_and_the_tag_beside_it_does_not() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let repository = format!("{}/team/box", registry.address);
    let id = engine.inspect(BUSYBOX, ".Id");
    engine.ok(&["tag", BUSYBOX, &format!("{repository}:1")]);
    let pushed = engine.ok(&["push", &format!("{repository}:1")]);
    let digest = pushed.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    engine.ok(&["rmi", &format!("{repository}:1"), BUSYBOX]);
    let name = format!("{repository}:nowhere@{digest}");
    let pulled = engine.ok(&["pull", &name]);
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    assert_eq!(engine.inspect(&format!("{repository}@{digest}"), ".Id"), id);
    assert_eq!(engine.ok(&["images", "--format", "{{.Tag}}", &repository]), "<none>");
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", &name, "echo", "there"]), "there");
    let other = format!("{repository}:1@sha256:{}", "0".repeat(64));
    assert!(engine.docker(&["pull", &other]).err.contains("not found: manifest unknown"));
}

#[test]
fn after_a_late_change_one_layer_is_pushed() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let name = format!("{}/team/app:1", registry.address);
    let text = "FROM busybox\nRUN echo one > /one\nRUN echo two > /two\nCOPY late /late\n";
    let context = Context::new(text).write("late", "before");
    context.built(&engine, &["-t", &name]);
    let first = engine.ok(&["push", &name]);
    assert_eq!(first.matches(": Pushed").count(), 4, "{first}");
    let context = context.write("late", "after");
    context.built(&engine, &["-t", &name]);
    let second = engine.ok(&["push", &name]);
    let counts = [": Layer already exists", ": Pushed"].map(|word| second.matches(word).count());
    assert_eq!(counts, [3, 1], "{second}");
}

#[test]
fn a_search_that_nobody_answers_says_why() {
    let Some(engine) = Engine::start() else { return };
    let refused = |term: &str, start: &str, end: &str| {
        let said = engine.docker(&["search", term]);
        let start = format!("Error response from daemon: {start}");
        assert!(said.code == 1 && said.err.starts_with(&start) && said.err.ends_with(end), "{said:?}");
    };
    // No name of that domain is ever there (RFC 6761, 6.4).
    refused(
        "registry.invalid/tool",
        "invalid registry endpoint https://registry.invalid/v1/: Get \"https://registry.invalid/v1/_ping\": dial tcp: \
         lookup registry.invalid on ",
        ": no such host. If this private registry supports only HTTP or HTTPS with an unknown CA certificate, please add \
         `--insecure-registry registry.invalid` to the daemon's arguments. In the case of HTTPS, if you have access to \
         the registry's CA certificate, no need for the flag; simply place the CA certificate at \
         /etc/docker/certs.d/registry.invalid/ca.crt",
    );
    refused(
        "127.0.0.1:1/tool",
        "invalid registry endpoint \"http://127.0.0.1:1/v1/\". HTTPS attempt: Get \"https://127.0.0.1:1/v1/_ping\": dial \
         tcp 127.0.0.1:1: connect: connection refused. HTTP attempt: Get \"http://127.0.0.1:1/v1/_ping\": dial tcp \
         127.0.0.1:1: connect: ",
        "connection refused",
    );
    let (status, _) = engine.send("GET /images/search?term=127.0.0.1:1/tool", &[], "");
    assert_eq!(status, 400);
    if !engine.is_machine() {
        // Natively there is no way out.
        let hub =
            "Get \"https://index.docker.io/v1/search?q=tool&n=25\": dial tcp: lookup index.docker.io on ";
        refused("tool", hub, "");
    }
}

#[test]
fn a_list_of_images_is_filtered_as_docker_filters_it() {
    let Some(engine) = Engine::with_busybox() else { return };
    for (name, label) in [("one:v1", "a=1"), ("team/two:v1", "a=2"), ("team/two:v2", "b=")] {
        let text = format!("FROM busybox\nRUN echo {name} > /name\n");
        Context::new(&text).built(&engine, &["-t", name, "--label", label]);
    }
    // The first one loses its name.
    Context::new("FROM busybox\nRUN echo new > /name\n").built(&engine, &["-t", "one:v1"]);
    let names = |filters: &[&str]| {
        let mut args = vec!["images", "--format", "{{.Repository}}:{{.Tag}}"];
        filters.iter().for_each(|filter| args.extend(["--filter", filter]));
        let mut names: Vec<String> = engine.ok(&args).lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    for (filters, expected) in [
        (&["label=a"][..], "<none>:<none> team/two:v1"),
        (&["label=a=2"], "team/two:v1"),
        (&["label=a", "dangling=false"], "team/two:v1"),
        (&["dangling=true"], "<none>:<none>"),
        (&["reference=team/*"], "team/two:v1 team/two:v2"),
        (&["reference=team/*:v2"], "team/two:v2"),
        (&["reference=*:v1"], "one:v1"),
        (&["reference=one", "reference=team/*:v1"], "one:v1 team/two:v1"),
        (&["since=team/two:v1"], "one:v1 team/two:v2"),
        (&["before=team/two:v1"], "<none>:<none> busybox:latest"),
        (&["before=team/two:v2", "since=busybox", "dangling=false"], "team/two:v1"),
        (&["since=busybox", "since=team/two:v1"], "one:v1 team/two:v2"),
        (&["until=1h", "dangling=true"], ""),
    ] {
        assert_eq!(names(filters), expected, "{filters:?}");
    }
    for (filter, words) in [
        ("since=nowhere", "No such image: nowhere"),
        ("dangling=maybe", "invalid filter 'dangling=[maybe]'"),
        ("wings=2", "invalid filter 'wings'"),
    ] {
        let said = engine.docker(&["images", "--filter", filter]);
        assert!(said.code == 1 && said.err.contains(words), "{filter}: {said:?}");
    }
}

#[test]
fn a_history_names_the_images_that_are_here_as_of_each_step() {
    let Some(engine) = Engine::with_busybox() else { return };
    let text = "FROM busybox\nENV A=b\nCOPY Dockerfile /\nCMD [\"true\"]\n";
    let told = Context::new(text).built(&engine, &["-t", "made"]);
    let steps: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix(" ---> ")).collect();
    let history = engine.ok(&["history", "--format", "{{.ID}}", "made"]);
    let ids: Vec<&str> = history.lines().take(4).collect();
    assert_eq!(ids, steps.into_iter().rev().collect::<Vec<_>>(), "{told}");
    let history = engine.get("/images/made/history");
    assert_eq!(history[3]["Tags"][0], "busybox:latest", "{history}");
}

#[test]
fn no_image_is_called_scratch_and_a_missing_one_is_told_by_the_name_that_was_given() {
    let Some(engine) = Engine::with_busybox() else { return };
    let says = |args: &[&str]| engine.docker(args).err;
    assert_eq!(says(&["pull", "scratch"]), "Error response from daemon: 'scratch' is a reserved name");
    let missing = "Error response from daemon: No such image: nowhere";
    assert_eq!(says(&["save", "nowhere"]), missing);
    assert_eq!(says(&["save", "nowhere:v1"]), format!("{missing}:v1"));
}

#[test]
fn a_commit_has_the_changes_author_and_message_that_it_is_given() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script = "echo made > /srv/made; exec sleep 1000";
    let run = ["run", "-d", "--name", "box", "-e", "OLD=1", "--label", "kept=1", "--network", "none"];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", script]].concat());
    engine.ok(&["exec", "box", "sh", "-c", "while [ ! -e /srv/made ]; do sleep 0.01; done"]);
    let changes = [
        "-c",
        "ENV NEW=\"two words\"",
        "-c",
        "CMD [\"cat\", \"/srv/made\"]",
        "-c",
        "ENTRYPOINT []",
        "-c",
        "EXPOSE 80/tcp",
        "-c",
        "LABEL added=2",
        "-c",
        "USER web",
        "-c",
        "WORKDIR /srv",
        "-c",
        "VOLUME /data",
    ];
    for pause in ["true", "false"] {
        let pause = format!("--pause={pause}");
        let args =
            [&["commit", "-a", "Ann <a@b.c>", "-m", "a reason", &pause], &changes[..], &["box", "made"]];
        engine.ok(&args.concat());
        assert_eq!(engine.inspect("box", ".State.Status"), "running", "{pause}");
        let field = |name: &str| engine.inspect("made", name);
        assert_eq!(field(".Author"), "Ann <a@b.c>");
        assert_eq!(field(".Comment"), "a reason");
        let environment = field("json .Config.Env");
        assert!(environment.contains("OLD=1") && environment.contains("NEW=two words"), "{environment}");
        assert_eq!(field("json .Config.Labels"), r#"{"added":"2","kept":"1"}"#);
        assert_eq!(field("json .Config.ExposedPorts"), r#"{"80/tcp":{}}"#);
        assert_eq!([field(".Config.User"), field(".Config.WorkingDir")], ["web", "/srv"]);
        assert_eq!(field("json .Config.Volumes"), r#"{"/data":{}}"#);
        assert_eq!(engine.ok(&["run", "--rm", "--network", "none", "made"]), "made");
        let history =
            engine.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}};{{.Comment}}", "made"]);
        assert!(history.starts_with(&format!("sh -c {script};a reason")), "{history}");
    }
    for (change, words) in [
        ("RUN x", "RUN is not a valid change command"),
        ("NOPE x", "NOPE is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
    ] {
        let said = engine.docker(&["commit", "-c", change, "box"]);
        assert!(said.code == 1 && said.err.contains(words), "{change}: {said:?}");
    }
}

#[test]
fn an_import_has_the_changes_and_message_that_it_is_given() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("root.tar");
    engine.ok(&["create", "--name", "box", "busybox"]);
    engine.ok(&["export", "-o", archive.to_str().unwrap(), "box"]);
    let changes = ["-c", "CMD [\"echo\", \"imported\"]", "-c", "ENV PATH=/bin", "-m", "from a tar"];
    let told = engine.ok(&[&["import"], &changes[..], &[archive.to_str().unwrap(), "team/new:v1"]].concat());
    assert!(told.starts_with("sha256:"), "{told}");
    assert_eq!(engine.inspect("team/new:v1", ".Comment"), "from a tar");
    assert_eq!(engine.inspect("team/new:v1", "len .RootFS.Layers"), "1");
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", "team/new:v1"]), "imported");
    let mut client = engine.client(&["import", "--platform", "linux/s390x", "-", "piped"]);
    let piped = e2e::engine::said(&client.stdin(std::fs::File::open(&archive).unwrap()).output().unwrap());
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(engine.inspect("piped", ".Architecture"), "s390x");
    let Some(web) = e2e::web::WebServer::start(&engine) else { return };
    std::fs::copy(&archive, web.folder().join("root.tar")).unwrap();
    let told = engine.ok(&["import", "-c", "CMD [\"true\"]", &web.url("root.tar"), "fetched"]);
    assert!(told.contains("Downloading from") && told.contains("sha256:"), "{told}");
    engine.ok(&["run", "--rm", "--network", "none", "-e", "PATH=/bin", "fetched"]);
    let foreign = engine.docker(&["import", "--platform", "windows/amd64", archive.to_str().unwrap()]);
    assert!(foreign.err.ends_with("operating system is not supported"), "{foreign:?}");
    let refused = engine.docker(&["import", "-c", "COPY a b", archive.to_str().unwrap()]);
    assert!(refused.err.contains("COPY is not a valid change command"), "{refused:?}");
}
