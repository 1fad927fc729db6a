//! Programs of other processors: the VM brings emulators for them (qemu-user), and hands them over by binfmt_misc.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::buildx::Remote;
use e2e::context::Context;
use e2e::engine::Engine;

const SAID: &[u8] = b"foreign\n";
const FOLDER: &[u8] = b"/made\0";
/// Where a program lies in memory.
const BASE: u32 = 0x40_0000;

/// A program for arm64 that makes the folder /made, says `foreign` and ends: mkdirat, write and exit, in machine code
/// (Arm Architecture Reference Manual, C6.2).
fn arm64() -> Vec<u8> {
    const CALL: u32 = 0xd400_0001;
    const CURRENT_FOLDER: u32 = 0x9280_0000 | 99 << 5;
    let movz = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let adr =
        |register: u32, distance: u32| 0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5 | register;
    let data = Data::behind(14);
    let code = [
        movz(8, 34),
        CURRENT_FOLDER,
        adr(1, data.folder - 2 * 4),
        movz(2, 0o755),
        CALL,
        movz(8, 64),
        movz(0, 1),
        adr(1, data.said - 7 * 4),
        movz(2, data.length),
        CALL,
        movz(8, 93),
        movz(0, 0),
        CALL,
        // As long as it says.
        CALL,
    ];
    let body = data.with(&code);
    let (headers, entry) = (64 + 56, u64::from(BASE) + 64 + 56);
    let size = headers + body.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC for EM_AARCH64 (elf(5)).
    bytes.extend([2_u16, 183].map(u16::to_le_bytes).as_flattened());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([entry, 64, 0].map(u64::to_le_bytes).as_flattened());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64_u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).as_flattened());
    // PT_LOAD, readable and executable.
    bytes.extend([1_u32, 5].map(u32::to_le_bytes).as_flattened());
    bytes.extend([0, BASE.into(), BASE.into(), size, size, 0x1_0000].map(u64::to_le_bytes).as_flattened());
    bytes.extend(body);
    bytes
}

/// The same for 32 bits (Arm Architecture Reference Manual ARMv7-A, A8.8).
fn arm_v7() -> Vec<u8> {
    const CALL: u32 = 0xef00_0000;
    const CURRENT_FOLDER: u32 = 0xe3e0_0000 | 99;
    let movw = |register: u32, value: u32| 0xe300_0000 | (value >> 12) << 16 | register << 12 | value & 0xfff;
    // The program counter is two instructions ahead.
    let adr = |register: u32, distance: u32| 0xe28f_0000 | register << 12 | (distance - 8);
    let data = Data::behind(13);
    let code = [
        CURRENT_FOLDER,
        adr(1, data.folder - 4),
        movw(2, 0o755),
        movw(7, 323),
        CALL,
        movw(0, 1),
        adr(1, data.said - 6 * 4),
        movw(2, data.length),
        movw(7, 4),
        CALL,
        movw(0, 0),
        movw(7, 1),
        CALL,
    ];
    let body = data.with(&code);
    let headers = 52 + 32;
    let size = headers + u32::try_from(body.len()).unwrap();
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC for EM_ARM, EABI 5 (elf(5)).
    bytes.extend([2_u16, 40].map(u16::to_le_bytes).as_flattened());
    bytes.extend([1, BASE + headers, 52, 0, 0x0500_0000].map(u32::to_le_bytes).as_flattened());
    bytes.extend([52_u16, 32, 1, 40, 0, 0].map(u16::to_le_bytes).as_flattened());
    // PT_LOAD, readable and executable.
    bytes.extend([1, 0, BASE, BASE, size, size, 5, 0x1_0000].map(u32::to_le_bytes).as_flattened());
    bytes.extend(body);
    bytes
}

/// Where what a program speaks of lies: behind its code.
struct Data {
    folder: u32,
    said: u32,
    length: u32,
}

impl Data {
    fn behind(instructions: u32) -> Self {
        let [folder, length] = [FOLDER, SAID].map(|bytes| u32::try_from(bytes.len()).unwrap());
        Self { folder: instructions * 4, said: instructions * 4 + folder, length }
    }

    fn with(&self, code: &[u32]) -> Vec<u8> {
        assert_eq!(code.len() * 4, self.folder as usize);
        let code = code.iter().flat_map(|instruction| instruction.to_le_bytes());
        code.chain(FOLDER.iter().copied()).chain(SAID.iter().copied()).collect()
    }
}

/// Lays a program where a build takes it from.
fn lay(context: &Context, name: &str, program: &[u8]) {
    let path = context.path().join(name);
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether this is a machine whose processors nobody emulates; prints the reason of the skip.
fn has_none(engine: &Engine, said: &str) -> bool {
    let has_none = !engine.is_machine() && said.contains("needs an interpreter that this machine hasn't");
    if has_none {
        eprintln!("skipped: this machine has no interpreter for arm; the VM has");
    }
    has_none
}

#[test]
fn programs_for_arm64_run_in_builds_and_containers() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new("FROM scratch\nCOPY say /\nRUN [\"/say\"]\nCMD [\"/say\"]\n");
    lay(&context, "say", &arm64());
    let built = context.build(&engine, &["--platform", "linux/arm64", "--tag", "say:v1"]);
    if has_none(&engine, &built.err) {
        return;
    }
    assert_eq!(built.code, 0, "{}\n{}", built.out, built.err);
    assert!(built.out.contains("foreign"), "{}", built.out);
    assert_eq!(engine.inspect("say:v1", ".Architecture"), "arm64");
    assert_eq!(engine.ok(&["run", "--rm", "--platform", "linux/arm64", "say:v1"]), "foreign");
    // What the program made is in the image.
    let made = engine.ok(&["create", "--platform", "linux/arm64", "say:v1"]);
    let listed = engine.client(&["export", &made]).output().unwrap();
    assert!(listed.stdout.windows(5).any(|name| name == b"made/"), "the step's folder isn't there");
}

#[test]
fn one_build_runs_programs_of_several_processors() {
    let Some(client) = Remote::start() else { return };
    let native = "FROM busybox AS amd64\nRUN mkdir /made && echo native\n";
    let foreign =
        ["arm", "arm64"].map(|name| format!("FROM scratch AS {name}\nCOPY {name} /say\nRUN [\"/say\"]\n"));
    let text = format!("{native}{}FROM $TARGETARCH\n", foreign.concat());
    let context = Context::new(&text);
    lay(&context, "arm", &arm_v7());
    lay(&context, "arm64", &arm64());
    let out = tempfile::tempdir().unwrap();
    let platforms = ["--platform", "linux/amd64,linux/arm64,linux/arm/v7"];
    let built =
        client.build(&context, &[&platforms[..], &["--output", out.path().to_str().unwrap()]].concat());
    if has_none(&client.engine, &built.err) {
        return;
    }
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(built.err.matches(" foreign\n").count(), 2, "{}", built.err);
    for platform in ["linux_amd64", "linux_arm64", "linux_arm_v7"] {
        assert!(out.path().join(platform).join("made").is_dir(), "{platform}: {}", built.err);
    }
}
