//! A host folder whose files both sides change at once: when they rest, both see the same.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::chance::{Chance, repeats};
use e2e::engine::Engine;
use e2e::perl;

/// Names how often both sides change files and compare.
const ROUNDS: &str = "BERTH_E2E_SOAK_ROUNDS";
/// Some ten seconds of them.
const SOME: u32 = 4;

/// The host's changes are told; what isn't would be believed for 30 seconds.
const SETTLES: Duration = Duration::from_secs(10);

/// Changes files of few names beneath a folder, as a seed says. What fails since the other side was there before is left:
/// `EPERM`, `ENOENT`, `EACCES`, `EEXIST`, `ENOTDIR`, `EISDIR`, `EINVAL`, `ENOTEMPTY`, `ELOOP`, `ESTALE`.
const CHANGE: &str = r#"
    my ($folder, $seed) = @ARGV;
    my @names = map { "$folder/$_" } qw(a b c d/a d/b d/e/a d/e/b f/a d d/e f);
    my @lengths = (0, 10, 5000, 300_000);
    my %races = map { $_ => 1 } 1, 2, 13, 17, 20, 21, 22, 39, 40, 116;
    srand $seed;
    sub spill { my ($how, $path, $text) = @_;
        open(my $file, $how, $path) or return 0; my $is_whole = syswrite($file, $text); close $file; defined $is_whole }
    for my $count (1 .. 150) {
        my ($what, $path, $other) = (int rand 12, $names[rand @names], $names[rand @names]);
        my $text = chr(97 + rand 26) x $lengths[rand @lengths];
        my $is_done = $what < 2 ? spill(">", $path, $text) : $what == 2 ? spill(">>", $path, $text)
            : $what == 3 ? (-f $path ? truncate($path, length($text) / 2) : 1) : $what == 4 ? rename($path, $other)
            : $what == 5 ? unlink($path) : $what == 6 ? rmdir($path) : $what < 9 ? mkdir($path)
            : $what == 9 ? symlink("a", $path) : $what == 10 ? link($path, $other)
            : chmod(0700 + (length($text) & 077), $path);
        $is_done or $races{$! + 0} or die "change $what of $path ($other): $!\n";
        select undef, undef, undef, rand 0.01;
    }
"#;

/// Prints what can be seen of everything beneath a folder: its mode, names, length, time and content's sum. It fails when
/// something goes meanwhile.
const TREE: &str = r#"
    sub look { my ($root, $at) = @_;
        opendir(my $folder, "$root/$at") or die "open $at: $!\n";
        for my $name (sort grep { !/^\.\.?$/ } readdir $folder) {
            my $path = "$at/$name";
            my @found = lstat "$root/$path" or die "look at $path: $!\n";
            my ($mode, $links, $size, $modified) = @found[2, 3, 7, 9];
            my $content = -l _ ? readlink "$root/$path" : "";
            if (-f _) {
                open(my $file, "<", "$root/$path") or die "read $path: $!\n";
                local $/; $content = unpack "%32C*", <$file>;
            }
            # How large a folder is, is its file system's business.
            $size = 0 if -d "$root/$path" && !-l "$root/$path";
            printf "%s %o %d %d %d %s\n", $path, $mode, $links, $size, $modified, $content;
            look($root, $path) if -d "$root/$path" && !-l "$root/$path";
        }
    }
    look($ARGV[0], ".");
"#;

/// What a script prints on the host; its failure, else.
fn on_host(script: &Path, folder: &Path, seed: &str) -> Result<String, String> {
    let output = Command::new("perl").arg(script).arg(folder).arg(seed).output().expect("run perl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn both_sides_change_a_folder_at_once_and_see_the_same() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(change) = perl::script(folder.path(), "change", CHANGE) else { return };
    std::fs::write(folder.path().join("tree"), TREE).expect("write a script");
    let tree = change.replace("/x/change", "/x/tree");
    let both = folder.path().join("both");
    std::fs::create_dir(&both).expect("make the folder that both change");
    let bind = format!("{}:/x", folder.path().display());
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "other",
        "--network",
        "none",
        "-v",
        &bind,
        "busybox",
        "sleep",
        "100000",
    ]);
    let in_container = |program: &str, seed: &str| {
        let words = format!("{program} /x/both {seed}");
        let said = engine.docker(&["exec", "other", "sh", "-c", &words]);
        if said.code == 0 { Ok(said.out) } else { Err(said.err) }
    };
    let mut chance = Chance::seeded(7);
    for round in 1..=repeats(ROUNDS, SOME) {
        let mut seed = || chance.number(1 << 31).to_string();
        let (ours, theirs) = (seed(), seed());
        std::thread::scope(|scope| {
            let host = scope.spawn(|| on_host(&folder.path().join("change"), &both, &ours));
            assert_eq!(in_container(&change, &theirs), Ok(String::new()), "round {round}, in the container");
            assert_eq!(host.join().expect("no panic"), Ok(String::new()), "round {round}, on the host");
        });
        let deadline = Instant::now() + SETTLES;
        loop {
            let host = on_host(&folder.path().join("tree"), &both, "");
            let container = in_container(&tree, "");
            if host.is_ok() && host == container {
                break;
            }
            assert!(Instant::now() < deadline, "round {round}:\nhost {host:#?}\ncontainer {container:#?}");
        }
    }
    let seen = on_host(&folder.path().join("tree"), &both, "").expect("the host's tree");
    assert!(!seen.is_empty(), "nothing is left to compare");
}
