//! A disk without room: what needs more of it fails and says so, and the engine goes on.

use std::fs;

use e2e::context::{Context, output};
use e2e::disk::Disk;
use e2e::engine::Engine;
use e2e::registry::Registry;

const SIZE: u64 = 64 << 20;
const WHY: &str = "no space left on device";

#[test]
fn a_full_disk_fails_pulls_and_builds_and_not_the_engine() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let name = format!("{}/team/large:1", registry.address);
    let large =
        |megabytes: u32| format!("FROM busybox\nRUN dd if=/dev/urandom of=/large bs=1M count={megabytes}\n");
    Context::new(&large(80)).built(&engine, &["-t", &name]);
    engine.ok(&["push", "--quiet", &name]);
    engine.end();
    let Some(disk) = Disk::mount(SIZE, &engine.data_root()) else { return };
    engine.answer_again();
    engine.load_busybox();
    let pulled = engine.docker(&["pull", &name]);
    assert_eq!(pulled.code, 1, "{pulled:?}");
    assert!(pulled.err.to_lowercase().contains(WHY), "{pulled:?}");
    assert_eq!(engine.ok(&["images", "--format", "{{.Repository}}"]), "busybox");
    let built = Context::new(&large(80)).build(&engine, &[]);
    assert_eq!(built.code, 1, "{built:?}");
    assert!(built.out.to_lowercase().contains(WHY), "{built:?}");
    // What was of no use is given back: there is room for what fits.
    engine.ok(&["system", "prune", "--force"]);
    Context::new(&large(8)).built(&engine, &["-t", "small"]);
    assert_eq!(output(&engine, "small", &["stat", "-c", "%s", "/large"]), "8388608");
    engine.crash();
    assert_eq!(output(&engine, "small", &["stat", "-c", "%s", "/large"]), "8388608");
    assert!(fs::read_dir(engine.data_root()).unwrap().next().is_some());
    engine.end();
    drop(disk);
}
