//! The machine's end, in order and not: what its containers are told, and what is kept.

use e2e::condition::eventually;
use e2e::machine::Machine;

/// How a container stands.
const STATE: &str = "{{.State.Status}} {{.State.ExitCode}}";

/// Counts for ever into its log and into a file that it syncs; started again, it tells what the file holds.
const COUNT: &str = "[ -e /kept ] && exec cat /kept; i=0; \
    while :; do i=$((i+1)); echo $i; echo $i > /kept.new; sync /kept.new; mv /kept.new /kept; sync /; sleep 0.05; done";

#[test]
fn a_container_that_will_not_end_is_killed_and_the_machine_powers_off() {
    let Some(machine) = Machine::with_busybox() else { return };
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 1; done";
    let detached = ["run", "-d", "--network", "none", "--stop-timeout", "600", "--name"];
    machine.ok(&[&detached[..], &["stubborn", "busybox", "sh", "-c", stubborn]].concat());
    let polite = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    machine.ok(&[&detached[..], &["polite", "busybox", "sh", "-c", polite]].concat());
    for name in ["stubborn", "polite"] {
        eventually("it has its handler", || (machine.ok(&["logs", name]) == "ready").then_some(()));
    }
    machine.ok(&["stop"]);
    machine.ok(&["start"]);
    assert_eq!(machine.inspect("stubborn", STATE), "exited 137");
    assert_eq!(machine.inspect("polite", STATE), "exited 3");
}

#[test]
fn after_a_power_cut_containers_restart_as_asked_and_what_was_synced_is_there() {
    let Some(machine) = Machine::with_busybox() else { return };
    let detached = ["run", "-d", "--network", "none", "--name"];
    machine.ok(&[&detached[..], &["counter", "busybox", "sh", "-c", COUNT]].concat());
    machine.ok(&[&detached[..], &["always", "--restart", "always", "busybox", "sleep", "1000"]].concat());
    // What is seen may be on its way to the disk still; the one before it isn't.
    let synced: u32 = eventually("it has counted", || {
        let kept: u32 = machine.berth(&["exec", "counter", "cat", "/kept"]).out.parse().ok()?;
        (kept > 20).then_some(kept - 1)
    });
    machine.crash();
    assert_eq!(machine.inspect("counter", STATE), "exited 137");
    eventually("it was started again", || (machine.inspect("always", STATE) == "running 0").then_some(()));
    let log = machine.ok(&["logs", "counter"]);
    let lines: Vec<usize> = log.lines().map(|line| line.parse().expect("a whole line")).collect();
    assert_eq!(lines, (1..=lines.len()).collect::<Vec<_>>(), "a line is lost or told twice");
    let kept: u32 = machine.docker(&["start", "-a", "counter"]).out.parse().expect("a number");
    assert!(kept >= synced, "{synced} was synced, {kept} is there");
}

#[test]
fn without_its_daemon_the_machine_powers_off_in_order_and_the_next_command_brings_all_back() {
    let Some(machine) = Machine::with_busybox() else { return };
    let detached = ["run", "-d", "--network", "none", "--name"];
    let talk = "trap 'echo last; exit 4' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
    machine.ok(&[&detached[..], &["talker", "busybox", "sh", "-c", talk]].concat());
    machine.ok(&[&detached[..], &["always", "--restart", "always", "busybox", "sleep", "1000"]].concat());
    eventually("it talks", || (machine.ok(&["logs", "talker"]).lines().count() > 20).then_some(()));
    machine.lose_daemon();
    // Any command starts the machine again.
    let log = machine.ok(&["logs", "talker"]);
    assert_eq!(machine.inspect("talker", STATE), "exited 4");
    let lines: Vec<&str> = log.lines().collect();
    let (last, counted) = lines.split_last().expect("it said something");
    assert_eq!(*last, "last", "the container wasn't asked to end");
    let expected: Vec<String> = (1..=counted.len()).map(|number| number.to_string()).collect();
    assert_eq!(counted, expected, "a line is lost or told twice");
    eventually("it was started again", || (machine.inspect("always", STATE) == "running 0").then_some(()));
}
