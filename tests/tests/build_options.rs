//! What `docker build` is asked for on its command line, by the classic builder and by buildx: each option is seen in a
//! step or in the image.

use std::fs;
use std::process::{Command, Stdio};

use e2e::buildx::{self, with_buildx};
use e2e::context::{self, output};
use e2e::engine::{Engine, Said, said};
use e2e::web::WebServer;

type Client = (Engine, tempfile::TempDir);

/// Builds a folder in both ways, which must succeed; each time `look` is told which way it was, and what the client said.
fn both_ways(client: &Client, text: &str, args: &[&str], look: impl Fn(&str, &str)) {
    let args = [&["-t", "x"], args].concat();
    look("classic", &context::Context::new(text).built(&client.0, &args));
    look("buildx", &buildx::Context::new(client, text).built(&args));
}

/// The same, which must fail; what the client said.
fn fails_both_ways(client: &Client, text: &str, args: &[&str]) -> [Said; 2] {
    let failed =
        [context::Context::new(text).build(&client.0, args), buildx::Context::new(client, text).build(args)];
    assert!(failed.iter().all(|said| said.code != 0), "{failed:?}");
    failed
}

#[test]
fn a_step_has_the_memory_limits_and_hosts_that_were_asked_for() {
    let Some(client) = with_buildx() else { return };
    let text = "FROM busybox\nRUN df -k /dev/shm | awk 'END {print $2}' > /seen; ulimit -Sn >> /seen; \
                ulimit -Hn >> /seen; grep there /etc/hosts >> /seen\n";
    let args = ["--shm-size", "16m", "--ulimit", "nofile=100:200", "--add-host", "there:10.1.2.3"];
    both_ways(&client, text, &args, |way, _| {
        let seen = output(&client.0, "x", &["cat", "/seen"]);
        let words: Vec<&str> = seen.split_whitespace().collect();
        assert_eq!(words, ["16384", "100", "200", "10.1.2.3", "there"], "{way}");
    });
}

#[test]
fn a_step_has_the_network_that_was_asked_for() {
    let Some(client) = with_buildx() else { return };
    let text =
        "FROM busybox\nRUN readlink /proc/self/ns/net > /seen; ip link | grep -c eth0 >> /seen || true\n";
    let run = ["run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net"];
    let host = client.0.ok(&run);
    for (network, is_host, cards) in [("none", false, "0"), ("default", false, "1"), ("host", true, "")] {
        both_ways(&client, text, &["--no-cache", "--network", network], |way, _| {
            let seen = output(&client.0, "x", &["cat", "/seen"]);
            let (namespace, counted) = seen.split_once('\n').unwrap();
            assert_eq!(namespace == host, is_host, "{way} {network}");
            assert!(is_host || counted == cards, "{way} {network}: {counted}");
        });
    }
}

#[test]
fn a_proxy_is_seen_by_steps_and_changes_neither_image_nor_cache() {
    let Some(client) = with_buildx() else { return };
    let text = "FROM busybox\nRUN echo $HTTP_PROXY > /seen\n";
    let build = |proxy: &str, look: &dyn Fn(&str, &str)| {
        both_ways(&client, text, &["--build-arg", &format!("HTTP_PROXY=http://{proxy}")], look);
    };
    build("one", &|way, _| {
        assert_eq!(output(&client.0, "x", &["cat", "/seen"]), "http://one", "{way}");
        assert!(!client.0.inspect("x", "json .Config.Env").contains("PROXY"), "{way}");
        let history = client.0.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]);
        assert!(!history.contains("http://one"), "{way}: {history}");
    });
    build("two", &|way, told| {
        let cached = if way == "classic" { "Using cache" } else { "CACHED" };
        assert!(told.contains(cached), "{way}: {told}");
        assert_eq!(output(&client.0, "x", &["cat", "/seen"]), "http://one", "{way}");
    });
}

#[test]
fn labels_and_names_are_as_many_as_were_asked_for() {
    let Some(client) = with_buildx() else { return };
    let text = "FROM busybox\nLABEL a=dockerfile b=kept\n";
    let args =
        ["-t", "team/y:v1", "-t", "reg.example:5000/z", "--label", "a=asked", "--label", "c=with=sign"];
    both_ways(&client, text, &args, |way, _| {
        let labels = client.0.inspect("team/y:v1", "json .Config.Labels");
        assert_eq!(labels, r#"{"a":"asked","b":"kept","c":"with=sign"}"#, "{way}");
        let mut names: Vec<String> = serde_json::from_str(&client.0.inspect("x", "json .RepoTags")).unwrap();
        names.sort();
        assert_eq!(names, ["reg.example:5000/z:latest", "team/y:v1", "x:latest"], "{way}");
        client.0.ok(&["rmi", "x", "team/y:v1", "reg.example:5000/z"]);
    });
    for said in fails_both_ways(&client, text, &["-t", "Upper"]) {
        assert!(said.err.contains("must be lowercase"), "{said:?}");
    }
}

#[test]
fn a_stage_can_be_run_again_alone() {
    let Some(client) = with_buildx() else { return };
    let text = "FROM busybox AS one\nRUN head -c 16 /dev/urandom | md5sum > /one\nFROM busybox AS two\n\
                RUN head -c 16 /dev/urandom | md5sum > /two\nFROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /\n";
    let context = buildx::Context::new(&client, text);
    let made = |args: &[&str]| {
        context.built(&[&["-t", "x"], args].concat());
        [output(&client.0, "x", &["cat", "/one"]), output(&client.0, "x", &["cat", "/two"])]
    };
    let [one, two] = made(&[]);
    let again = made(&["--no-cache-filter", "two"]);
    assert_eq!(again[0], one);
    assert_ne!(again[1], two);
}

#[test]
fn what_was_built_is_told_in_files() {
    let Some(client) = with_buildx() else { return };
    let context = buildx::Context::new(&client, "FROM busybox\nRUN echo told > /x\n");
    context.built(&["-t", "x", "-t", "y:v1", "--iidfile", "id", "--metadata-file", "told.json"]);
    let id = client.0.inspect("x", ".Id");
    assert_eq!(fs::read_to_string(context.path().join("id")).unwrap(), id);
    let told: serde_json::Value =
        serde_json::from_slice(&fs::read(context.path().join("told.json")).unwrap()).unwrap();
    assert_eq!(told["containerimage.config.digest"], id.as_str(), "{told}");
    assert_eq!(told["image.name"], "docker.io/library/x:latest,docker.io/library/y:v1", "{told}");
    let classic = context::Context::new("FROM busybox\nRUN echo told > /y\n");
    let file = classic.path().join("id");
    classic.built(&client.0, &["-t", "z", "--iidfile", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(file).unwrap(), client.0.inspect("z", ".Id"));
    assert_eq!(classic.built(&client.0, &["--quiet"]), client.0.inspect("z", ".Id"));
}

#[test]
fn what_a_build_here_cannot_do_is_refused_by_name() {
    let Some(engine) = Engine::with_busybox() else { return };
    for (query, status, words) in [
        ("squash=1", 400, "squash is only supported with experimental mode"),
        ("isolation=hyperv", 400, "isolation"),
        ("securityopt=%5B%22a%22%5D", 400, "does not support setting security options on build"),
        ("memory=much", 400, "memory"),
        ("platform=nowhere%2Fx%2Fy%2Fz", 400, "nowhere/x/y/z"),
        ("buildargs=%7B", 400, "buildargs"),
    ] {
        let (got, said) = engine.send(&format!("POST /build?{query}"), &[], "");
        assert!(got == status && said.contains(words), "{query}: {got} {said}");
    }
    let nothing = "\0".repeat(1024);
    let refusal = engine.send("POST /build", &[], &nothing);
    let words = r#"{"message":"Cannot locate specified Dockerfile: Dockerfile"}"#;
    assert_eq!((refusal.0, refusal.1.trim_end()), (500, words));
}

#[test]
fn triggers_run_in_the_next_build_and_no_later() {
    let Some(client) = with_buildx() else { return };
    let base = "FROM busybox\nARG SEEN=base\nONBUILD ARG SEEN=child\nONBUILD COPY Dockerfile /sent\n\
                ONBUILD RUN echo $SEEN >> /seen\nONBUILD USER web\n";
    context::Context::new(base).built(&client.0, &["-t", "base"]);
    both_ways(&client, "FROM base\nRUN id -un > /tmp/user\n", &["--no-cache"], |way, _| {
        assert_eq!(output(&client.0, "x", &["cat", "/seen", "/tmp/user"]), "child\nweb", "{way}");
        assert!(output(&client.0, "x", &["cat", "/sent"]).contains("FROM base"), "{way}");
        assert_eq!(client.0.inspect("x", "json .Config.OnBuild"), "null", "{way}");
        let grandchild = context::Context::new("FROM x\nRUN cat /seen > /tmp/again\n");
        grandchild.built(&client.0, &["-t", "y"]);
        assert_eq!(output(&client.0, "y", &["cat", "/tmp/again"]), "child", "{way}");
    });
    for (trigger, words) in [
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ] {
        for said in fails_both_ways(&client, &format!("FROM busybox\n{trigger}\n"), &[]) {
            assert!(said.err.contains(words), "{trigger}: {}", said.err);
        }
    }
}

#[test]
fn a_dockerfile_or_a_context_may_come_by_standard_input() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = context::Context::new("FROM nowhere.invalid/x\n").write("a", "content");
    let text = context.path().join("elsewhere");
    fs::write(&text, "FROM busybox\nCOPY a /a\n").unwrap();
    let path = context.path().to_str().unwrap();
    let build = |args: &[&str], input: fs::File| {
        let mut client = engine.client(&[&["build", "-t", "x"], args].concat());
        said(&client.env("DOCKER_BUILDKIT", "0").stdin(input).output().unwrap())
    };
    let built = build(&["-f", "-", path], fs::File::open(&text).unwrap());
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(output(&engine, "x", &["cat", "/a"]), "content");
    fs::write(&text, "FROM busybox\nRUN echo alone > /a\n").unwrap();
    let built = build(&["-"], fs::File::open(&text).unwrap());
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(output(&engine, "x", &["cat", "/a"]), "alone");
}

#[test]
fn a_context_may_lie_at_an_address() {
    let Some(client) = with_buildx() else { return };
    let Some(web) = WebServer::start(&client.0) else { return };
    let context = context::Context::new("FROM busybox\nCOPY a /a\n")
        .write("a", "archived")
        .write("Other", "FROM busybox\nCOPY a /b\n");
    let archive = web.folder().join("context.tar.gz");
    let mut tar = Command::new("tar");
    let tar =
        tar.arg("czf").arg(&archive).arg("-C").arg(context.path()).arg(".").stdout(Stdio::null()).status();
    assert!(tar.unwrap().success());
    fs::write(web.folder().join("Dockerfile"), "FROM busybox\nRUN echo plain > /a\n").unwrap();
    let plugin = buildx::Context::new(&client, "");
    let by_buildx = |url: &str, more: &[&str]| {
        let said = plugin.run(&[&["build", "-t", "x", url], more].concat());
        assert_eq!(said.code, 0, "{url}: {}", said.err);
    };
    // Classic clients download what they name and send it: who asks the engine to is another client.
    let by_api = |url: &str, more: &str| {
        let (status, said) = client.0.send(&format!("POST /build?t=x&remote={url}{more}"), &[], "");
        assert!(status == 200 && said.contains("Successfully tagged x:latest"), "{url}: {status} {said}");
    };
    for build in [&by_buildx as &dyn Fn(&str, &[&str]), &|url, _| by_api(url, "")] {
        build(&web.url("context.tar.gz"), &[]);
        assert_eq!(output(&client.0, "x", &["cat", "/a"]), "archived");
        build(&web.url("Dockerfile"), &[]);
        assert_eq!(output(&client.0, "x", &["cat", "/a"]), "plain");
    }
    by_buildx(&web.url("context.tar.gz"), &["-f", "Other"]);
    assert_eq!(output(&client.0, "x", &["cat", "/b"]), "archived");
    client.0.ok(&["rmi", "x"]);
    by_api(&web.url("context.tar.gz"), "&dockerfile=Other");
    assert_eq!(output(&client.0, "x", &["cat", "/b"]), "archived");
    let missing = client.0.send(&format!("POST /build?remote={}", web.url("missing.tar")), &[], "").1;
    assert!(missing.contains("404"), "{missing}");
}
