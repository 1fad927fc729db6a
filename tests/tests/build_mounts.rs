//! `RUN --mount`: caches that steps share or have alone, and secrets and agents with the owners and places that are asked
//! for, by the buildx plugin.

use std::process::Stdio;

use e2e::buildx::{Context, with_buildx};
use e2e::context::output;
use e2e::engine::said;
use e2e::ssh::Agent;

/// Two builds at once meet through files of the cache `signs`. `both SIGN` waits for the other build, half a minute at most.
const MEETING: &str = r#"FROM busybox
ARG ROLE
ARG ROUND
COPY <<"E" /both
for role in a b; do
    touch /signs/$ROLE-$1-$ROUND
    for i in $(seq 300); do test -e /signs/$role-$1-$ROUND && continue 2; sleep 0.1; done
    echo "no $role at $1"; exit 1
done
E
RUN --mount=type=cache,id=signs,target=/signs --mount=type=cache,target=/c <<E
    set -e
    touch /c/$ROLE-$ROUND; sh -e /both shared
    test -e /c/a-$ROUND && test -e /c/b-$ROUND
E
RUN --mount=type=cache,id=signs,target=/signs --mount=type=cache,id=own,target=/c,sharing=private <<E
    set -e
    touch /c/$ROLE-$ROUND; sh -e /both private
    test $(ls /c | grep -c -- -$ROUND) = 1
E
RUN --mount=type=cache,id=signs,target=/signs sh -e /both locked
RUN --mount=type=cache,id=one,target=/c,sharing=locked --mount=type=cache,id=one,target=/same,sharing=locked <<E
    set -e
    mkdir /c/held; sleep 0.5; rmdir /same/held
    echo $ROLE >> /c/came; cp /c/came /came
E
"#;

#[test]
fn builds_at_once_share_a_cache_or_have_their_own_or_wait() {
    let Some(buildx) = with_buildx() else { return };
    buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    let context = Context::new(&buildx, MEETING);
    let start = |role: &str, round: u32| {
        let (role_is, round_is) = (format!("ROLE={role}"), format!("ROUND={round}"));
        let args = ["build", "--build-arg", &role_is, "--build-arg", &round_is, "--tag", role, "."];
        context.client(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // The second time, the first one's caches are there.
    for round in [1, 2] {
        for build in ["a", "b"].map(|role| start(role, round)) {
            let said = said(&build.wait_with_output().unwrap());
            assert_eq!(said.code, 0, "{}", said.err);
        }
        let came = ["a", "b"].map(|image| output(&buildx.0, image, &["cat", "/came"]).lines().count());
        assert_eq!(came.iter().max(), Some(&(2 * round as usize)), "{came:?}");
    }
    let usage = buildx.0.get("/system/df?type=build-cache");
    let records = usage["BuildCache"].as_array().unwrap();
    let caches = records.iter().filter(|record| record["Type"] == "exec.cachemount").count();
    // Two are private, and serve both times.
    assert_eq!(caches, 5, "{usage}");
}

#[test]
fn a_cache_is_known_by_its_name_and_by_what_it_begins_with() {
    let Some(buildx) = with_buildx() else { return };
    let text = r#"FROM busybox AS seed
RUN mkdir /seed && echo sown > /seed/grain
FROM busybox
ARG OWNER=33
RUN --mount=type=cache,id=one,target=/a echo first > /a/file
RUN --mount=type=cache,id=one,target=/b cat /b/file > /by-name
RUN --mount=type=cache,target=/a ls /a > /by-place
RUN --mount=type=cache,id=one,target=/a,readonly if touch /a/more; then exit 1; fi
RUN --mount=type=cache,id=one,target=/a,uid=33,gid=44,mode=0770 stat -c '%u %g %a' /a > /owned; ls /a >> /owned
USER 33
RUN --mount=type=cache,id=one,target=/a,uid=33,gid=44,mode=0770 echo mine > /a/mine
USER 0
RUN --mount=type=cache,id=one,target=/a,from=seed,source=seed cat /a/grain > /sown; echo grown > /a/grain
RUN --mount=type=cache,id=one,target=/x,from=seed,source=seed cat /x/grain >> /sown
RUN --mount=type=cache,id=one,target=/a ls /a > /untouched
"#;
    Context::new(&buildx, text).built(&["--tag", "x"]);
    let read = |path: &str| output(&buildx.0, "x", &["cat", path]);
    assert_eq!([read("/by-name"), read("/by-place")], ["first", ""]);
    assert_eq!([read("/owned"), read("/sown")], ["33 44 770", "sown\ngrown"]);
    assert_eq!(read("/untouched"), "file");
    // The places of caches stay as little as their content.
    assert_eq!(output(&buildx.0, "x", &["sh", "-c", "ls -d /a /b /x 2> /dev/null || true"]), "");
}

#[test]
fn a_secret_appears_where_and_for_whom_it_is_asked_for_and_nowhere_else() {
    let Some(buildx) = with_buildx() else { return };
    let text = |mode: &str| {
        format!(
            r#"FROM busybox
RUN --mount=type=secret,id=tok stat -c '%u %g %a' /run/secrets/tok > /usual
RUN --mount=type=secret,id=tok,target=/etc/tok,uid=33,gid=44,mode={mode} stat -c '%u %g %a' /etc/tok > /asked; cat /etc/tok >> /asked
USER 33
RUN --mount=type=secret,id=tok,uid=33 cat /run/secrets/tok > /tmp/own
RUN --mount=type=secret,id=tok if cat /run/secrets/tok; then exit 1; fi
USER 0
RUN --mount=type=secret,id=tok,env=TOK test ! -e /run/secrets/tok && echo $TOK > /variable
RUN --mount=type=secret,id=tok,env=TOK,target=/both test $TOK = $(cat /both)
RUN --mount=type=secret,target=/place/tok cp /place/tok /by-place
RUN --mount=type=secret,id=none,target=/none test ! -e /none
RUN test -z "$TOK" && test ! -e /run/secrets && test ! -e /etc/tok && test ! -e /place
"#
        )
    };
    let context = Context::new(&buildx, &text("0440"));
    let build = |context: &Context| {
        let args = ["build", "--tag", "x", "--secret", "id=tok,env=GIVEN", "."];
        let said = said(&context.client(&args).env("GIVEN", "s3cr3t").output().unwrap());
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!said.err.contains("s3cr3t"), "{}", said.err);
        output(&buildx.0, "x", &["cat", "/asked"])
    };
    assert_eq!(build(&context), "33 44 440\ns3cr3t");
    let read = |path: &str| output(&buildx.0, "x", &["cat", path]);
    assert_eq!([read("/usual"), read("/tmp/own")], ["0 0 400", "s3cr3t"]);
    assert_eq!([read("/variable"), read("/by-place")], ["s3cr3t", "s3cr3t"]);
    let history = buildx.0.ok(&["history", "--no-trunc", "x"]);
    assert!(!history.contains("s3cr3t"), "{history}");
    // Other permissions are another step.
    assert_eq!(build(&context.write("Dockerfile", &text("0404"))), "33 44 404\ns3cr3t");
    let required = "FROM busybox\nRUN --mount=type=secret,id=none,required=true true\n";
    let missing = Context::new(&buildx, required).build(&[]);
    assert!(missing.code == 1 && missing.err.contains("secret none: not found"), "{missing:?}");
}

#[test]
fn an_agents_socket_is_where_and_for_whom_it_is_asked_for() {
    let Some(buildx) = with_buildx() else { return };
    let Some(agent) = Agent::start("ed25519") else { return };
    let text = r#"FROM busybox
RUN --mount=type=ssh stat -c '%n %F %u %g %a' $SSH_AUTH_SOCK > /usual
RUN --mount=type=ssh,id=default,target=/run/mine,uid=33,gid=44,mode=0660 stat -c '%n %F %u %g %a' $SSH_AUTH_SOCK > /asked
RUN --mount=type=ssh,id=other,target=/run/other test -z "$SSH_AUTH_SOCK" && test ! -e /run/other
RUN test -z "$SSH_AUTH_SOCK" && test ! -e /run/mine
"#;
    Context::new(&buildx, text).built(&["--tag", "x", "--ssh", &agent.forwarded()]);
    let read = |path: &str| output(&buildx.0, "x", &["cat", path]);
    assert_eq!(read("/usual"), "/run/buildkit/ssh_agent.0 socket 0 0 600");
    assert_eq!(read("/asked"), "/run/mine socket 33 44 660");
    let required = Context::new(&buildx, "FROM busybox\nRUN --mount=type=ssh,id=other,required true\n");
    let missing = required.build(&["--ssh", &agent.forwarded()]);
    assert!(missing.code == 1 && missing.err.contains("unset ssh forward key other"), "{missing:?}");
}
