//! Builds with the buildx plugin: what is told of them, and of Dockerfiles that are only looked at.

use e2e::buildx::{Context, cached, with_buildx};
use e2e::engine::said;

#[test]
fn failures_say_which_step_and_why() {
    let Some(buildx) = with_buildx() else { return };
    for (text, words) in [
        (
            "FROM busybox\nRUN echo noise; exit 3\n",
            "process \"/bin/sh -c echo noise; exit 3\" did not complete successfully: exit code: 3",
        ),
        ("FROM busybox\nCOPY nothing /\n", "\"/nothing\": not found"),
        (
            "FROM busybox\nCPOY a /\n",
            "dockerfile parse error on line 2: unknown instruction: CPOY (did you mean COPY?)",
        ),
        ("FROM busybox\nRUN --security=insecure true\n", "security.insecure is not allowed"),
    ] {
        let said = Context::new(&buildx, text).build(&[]);
        assert_eq!(said.code, 1, "{text}");
        assert!(said.err.contains(words), "{text}: {}", said.err);
        assert!(said.err.contains("   2 | >>> "), "the line is shown: {text}: {}", said.err);
    }
    let foreign = Context::new(&buildx, "FROM scratch\nCOPY Dockerfile /x\nRUN true\n");
    let said = foreign.build(&["--platform", "linux/s390x"]);
    assert!(said.err.contains("RUN for linux/s390x needs an interpreter"), "{}", said.err);
    let exported = Context::new(&buildx, "FROM busybox\n").build(&["--cache-to", "type=elsewhere,name=x"]);
    assert!(exported.err.contains("isn't supported by this engine"), "{}", exported.err);
}

#[test]
fn of_a_long_output_beginning_and_end_are_shown() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox\nRUN echo first; yes | head -n 4000000; echo last\n";
    let said = Context::new(&buildx, text).built(&[]);
    for part in [" first\n", " last\n", "[output clipped, log limit 200KiB/s reached]"] {
        assert!(said.contains(part), "{part} isn't in {} bytes", said.len());
    }
    // Each is two bytes.
    let shown = said.lines().filter(|line| line.ends_with(" y")).count();
    assert!((200_000..2_000_000).contains(&shown), "{shown} lines");
}

#[test]
fn checks_know_the_variables_of_the_base_and_what_is_ignored() {
    let Some(buildx) = with_buildx() else { return };
    let text =
        "FROM busybox AS base\nENV NAME=x\nARG LATER\nFROM base\nWORKDIR /$NAM\n  COPY a $PATH$LATER /d/\n";
    let context = Context::new(&buildx, text).write(".dockerignore", "a\n").write("a", "");
    let built = context.build(&[]);
    assert!(built.err.contains("UndefinedVar: Usage of undefined variable '$NAM'"), "{}", built.err);
    if !context.is_at_least(20) {
        return;
    }
    let said = context.build(&["--check"]);
    assert_ne!(said.code, 0, "{}", said.out);
    for words in [
        "Usage of undefined variable '$NAM' (did you mean $NAME?)\nDockerfile:5\n",
        "Attempting to Copy file \"a\" that is excluded by .dockerignore\nDockerfile:6\n",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert_eq!(said.out.matches("WARNING").count(), 2, "{}", said.out);
    let strict =
        Context::new(&buildx, "# check=error=true\nFROM busybox\nENV A=$NO\nRUN touch /never\n").build(&[]);
    assert!(strict.err.contains("lint violation found for rules: UndefinedVar"), "{}", strict.err);
    assert!(!strict.err.contains("RUN touch /never\n"), "{}", strict.err);
}

#[test]
fn a_base_for_another_machine_is_told_unless_it_was_asked_for() {
    let Some(buildx) = with_buildx() else { return };
    let (own, foreign) = match std::env::consts::ARCH {
        "aarch64" => ("linux/arm64", "linux/amd64"),
        _ => ("linux/amd64", "linux/arm64"),
    };
    let context = Context::new(&buildx, "FROM scratch\nCOPY a /a\n").write("a", "a");
    context.built(&["--platform", foreign, "-t", "foreign:v1"]);
    let rule = "InvalidBaseImagePlatform";
    let found = format!(
        "Base image foreign:v1 was pulled with platform \"{foreign}\", expected \"{own}\" for current build"
    );
    let context = Context::new(&buildx, "FROM foreign:v1\nCOPY a /b\n").write("a", "a");
    let built = context.built(&[]);
    assert!(built.contains(&format!("{rule}: {found} (line 1)")), "{built}");
    for asked_for in [["--platform", foreign], ["--build-context", "foreign:v1=docker-image://foreign:v1"]] {
        let built = context.built(&asked_for);
        assert!(!built.contains(rule), "{built}");
    }
    let of = |check: &str| {
        Context::new(&buildx, &format!("# check={check}\nFROM foreign:v1\nCOPY a /b\n"))
            .write("a", "a")
            .build(&[])
    };
    let strict = of("error=true");
    assert!(strict.err.contains(&format!("lint violation found for rules: {rule}")), "{}", strict.err);
    assert!(!of(&format!("skip={rule}")).err.contains(rule));
    if context.is_at_least(20) {
        let said = context.build(&["--check"]);
        assert!(said.out.contains(&format!("{found}\nDockerfile:1\n")), "{}", said.out);
    }
}

#[test]
fn a_dockerfile_is_asked_about_instead_of_built() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox as one\nRUN false\nFROM one AS two\nARG WHO=me\n";
    let context = Context::new(&buildx, text);
    let ask = |what: &str| {
        let mut client = context.client(&["buildx", "build", "--print", what, "."]);
        said(&client.env("BUILDX_EXPERIMENTAL", "1").output().unwrap())
    };
    let checked = ask("lint");
    assert!(checked.out.contains("FromAsCasing"), "{}{}", checked.out, checked.err);
    let targets = ask("targets");
    assert!(targets.out.contains("two (default)"), "{}{}", targets.out, targets.err);
    let outline = ask("outline");
    assert!(outline.out.contains("WHO"), "{}{}", outline.out, outline.err);
    let strict = Context::new(&buildx, "# check=error=true\nFROM busybox as one\n").build(&[]);
    assert!(strict.err.contains("lint violation found for rules: FromAsCasing"), "{}", strict.err);
}

#[test]
fn stages_count_the_steps_that_buildkit_counts() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM scratch AS one\nARG A=b\nCOPY f /f\nWORKDIR /w\nFROM one AS two\nENV A=b\nCOPY --from=one /f /g\n\
                FROM busybox\nCOPY --from=two /g /\n";
    let told = Context::new(&buildx, text).write("f", "").built(&[]);
    for step in [
        "[one 1/2] COPY f /f",
        "[one 2/2] WORKDIR /w",
        "[two 1/1] COPY --from=one /f /g",
        "[stage-2 1/2] FROM docker.io/library/busybox",
        "[stage-2 2/2] COPY --from=two /g /",
    ] {
        assert!(told.contains(step), "{step}: {told}");
    }
    assert!(!told.contains("FROM scratch") && !told.contains("FROM one"), "{told}");
}

#[test]
fn what_a_stage_begins_with_is_cached_where_it_is_needed_again() {
    let Some(buildx) = with_buildx() else { return };
    let build = |step: &str| cached(&Context::new(&buildx, &format!("FROM busybox\n{step}\n")).built(&[]));
    let from = "[1/2] FROM docker.io/library/busybox:latest".to_owned();
    buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    assert_eq!(build("RUN echo one > /a"), [""; 0]);
    assert_eq!(build("RUN echo two > /a"), [from]);
    // Nobody needs its files for that.
    assert_eq!(build("RUN echo two > /a"), ["[2/2] RUN echo two > /a"]);
    assert_eq!(build("LABEL a=b"), ["[1/1] FROM docker.io/library/busybox:latest"]);
}
