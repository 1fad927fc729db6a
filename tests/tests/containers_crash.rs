//! The engine is killed at random moments of what containers go through: nothing is lost, and nothing is left.

use std::process::Stdio;
use std::time::Duration;

use e2e::chance::{Chance, repeats};
use e2e::engine::Engine;

/// One thing that a container goes through.
struct Deed {
    /// What is done before, undisturbed.
    before: &'static [&'static str],
    /// What the engine is killed during.
    during: &'static [&'static str],
}

const SLEEPER: &[&str] = &[
    "run",
    "--detach",
    "--name",
    "round",
    "--volume",
    "/data",
    "--publish",
    "8080:80",
    "busybox",
    "sleep",
    "1000",
];

const DEEDS: &[Deed] = &[
    Deed { before: &[], during: &["create", "--name", "round", "--volume", "/data", "busybox", "true"] },
    Deed { before: &["create", "--name", "round", "busybox", "sleep", "1000"], during: &["start", "round"] },
    Deed { before: SLEEPER, during: &["exec", "round", "sh", "-c", "echo there > /there"] },
    Deed { before: SLEEPER, during: &["stop", "--time", "0", "round"] },
    Deed { before: SLEEPER, during: &["restart", "--time", "0", "round"] },
    Deed { before: SLEEPER, during: &["rm", "--force", "--volumes", "round"] },
    Deed { before: &[], during: &["run", "--rm", "--name", "round", "--volume", "/data", "busybox", "true"] },
];

/// Names how often the engine is killed.
const KILLS: &str = "BERTH_E2E_KILLS";

/// A client needs most of this to start, to ask and to hear.
const MOMENTS: Duration = Duration::from_millis(150);

#[test]
fn an_engine_killed_at_any_moment_leaves_nothing_and_loses_nothing() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let mut chance = Chance::seeded(1);
    let count = "i=0; while :; do echo $i; i=$((i+1)); usleep 20000; done";
    engine.ok(&["run", "--detach", "--name", "steady", "--publish", "8081:80", "busybox", "sh", "-c", count]);
    let process = engine.inspect("steady", ".State.Pid");
    let before = engine.belongings();
    for round in 0..repeats(KILLS, 50) {
        let deed = &DEEDS[usize::try_from(chance.number(DEEDS.len() as u64)).unwrap()];
        if !deed.before.is_empty() {
            engine.ok(deed.before);
        }
        let mut client =
            engine.client(deed.during).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(chance.moment(MOMENTS));
        engine.crash();
        client.wait().unwrap();
        let what = format!("round {round}: docker {}", deed.during.join(" "));
        assert_whole(&engine, &what);
        engine.docker(&["rm", "--force", "--volumes", "round"]);
        let mut after = engine.belongings();
        let gone = std::time::Instant::now() + Duration::from_secs(10);
        while after != before && std::time::Instant::now() < gone {
            std::thread::sleep(Duration::from_millis(20));
            after = engine.belongings();
        }
        for (kind, names) in &before {
            assert_eq!(names, &after[kind], "{kind} after {what}");
        }
        assert_eq!(engine.inspect("steady", ".State.Pid"), process, "{what}");
    }
    engine.ok(&["kill", "steady"]);
    let logs = engine.ok(&["logs", "steady"]);
    let numbers: Vec<usize> = logs.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len()), "a line is missing or stands twice");
}

/// What the interrupted deed left is a container in one of the states that there are, or none.
fn assert_whole(engine: &Engine, what: &str) {
    let state = engine.docker(&["inspect", "--format", "{{.State.Status}} {{.State.Pid}}", "round"]);
    if state.code != 0 {
        assert!(
            state.err.contains("No such object") || state.err.contains("no such object"),
            "{what}: {state:?}"
        );
        return;
    }
    match state.out.split_once(' ') {
        Some(("running", process)) => {
            assert!(std::path::Path::new("/proc").join(process).exists(), "{what}: {state:?}");
            assert_eq!(engine.ok(&["exec", "round", "echo", "here"]), "here", "{what}");
        }
        Some(("created" | "exited" | "removing", "0")) => {}
        _ => panic!("{what}: {state:?}"),
    }
}

#[test]
fn what_ends_while_the_engine_is_dead_keeps_its_output_and_its_code() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let mut chance = Chance::seeded(2);
    for round in 0..repeats(KILLS, 50) / 5 {
        let script = "echo begin; usleep 100000; echo end; exit 7";
        engine.ok(&[
            "run",
            "--detach",
            "--name",
            "short",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            script,
        ]);
        std::thread::sleep(chance.moment(MOMENTS));
        engine.crash();
        assert_eq!(engine.ok(&["wait", "short"]), "7", "round {round}");
        assert_eq!(engine.ok(&["logs", "short"]), "begin\nend", "round {round}");
        engine.ok(&["rm", "short"]);
    }
}

/// A way to spoil a file.
type Spoil = fn(&mut Vec<u8>);

const SPOILS: &[Spoil] = &[
    Vec::clear,
    |bytes| bytes.truncate(bytes.len() / 2),
    |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x80;
    },
    |bytes| bytes.fill(0),
];

#[test]
fn a_corrupt_record_costs_what_it_describes_and_nothing_else() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    for spoil in SPOILS {
        let spoiled = engine.ok(&["create", "--name", "spoiled", "busybox", "true"]);
        engine.ok(&["create", "--name", "whole", "busybox", "echo", "whole"]);
        engine.ok(&["volume", "create", "spoiled"]);
        engine.ok(&["volume", "create", "whole"]);
        engine.ok(&["network", "create", "spoiled"]);
        engine.ok(&["network", "create", "whole"]);
        let network = engine.ok(&["network", "inspect", "--format", "{{.Id}}", "spoiled"]);
        engine.stop_answering();
        let data = engine.data_root();
        let mut files = vec![
            data.join("containers").join(spoiled).join("record.json"),
            data.join("volumes/spoiled/volume.json"),
            data.join("engine-id.json"),
        ];
        files.extend(e2e::belongings::files_about(&data.join("networks"), &network));
        for file in files {
            let mut bytes = std::fs::read(&file).unwrap();
            spoil(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
        }
        engine.answer_again();
        assert_eq!(engine.ok(&["ps", "--all", "--format", "{{.Names}}"]), "whole");
        assert_eq!(engine.ok(&["start", "--attach", "whole"]), "whole");
        assert!(engine.ok(&["volume", "ls", "--quiet"]).lines().any(|name| name == "whole"));
        assert!(engine.ok(&["network", "ls", "--format", "{{.Name}}"]).lines().any(|name| name == "whole"));
        // The name is free again, and so is everything else.
        engine.ok(&["run", "--rm", "--name", "spoiled", "busybox", "true"]);
        engine.ok(&["rm", "whole"]);
        engine.ok(&["volume", "rm", "whole"]);
        engine.ok(&["network", "rm", "whole"]);
        engine.docker(&["volume", "rm", "spoiled"]);
        engine.docker(&["network", "rm", "spoiled"]);
    }
}
