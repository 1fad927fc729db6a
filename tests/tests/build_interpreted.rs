//! Programs of another processor: the VM brings emulators for them (qemu-user), and hands them over by binfmt_misc.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::context::Context;
use e2e::engine::Engine;

const SAID: &[u8; 8] = b"aarch64\n";
const FOLDER: &[u8; 6] = b"/made\0";
/// Where the program lies in memory.
const BASE: u64 = 0x40_0000;
/// The ELF header and the one program header.
const HEADERS: usize = 64 + 56;

/// A program for arm64 that makes the folder /made, says `aarch64` and ends: mkdirat, write and exit, in machine code
/// (Arm Architecture Reference Manual, C6.2).
fn program() -> Vec<u8> {
    let movz = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let adr =
        |register: u32, distance: u32| 0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5 | register;
    const CALL: u32 = 0xd400_0001;
    const CODE: u32 = 14 * 4;
    const CURRENT_FOLDER: u32 = 0x9280_0000 | 99 << 5;
    let said_at = CODE + u32::try_from(FOLDER.len()).unwrap();
    let code = [
        movz(8, 34),
        CURRENT_FOLDER,
        adr(1, CODE - 2 * 4),
        movz(2, 0o755),
        CALL,
        movz(8, 64),
        movz(0, 1),
        adr(1, said_at - 7 * 4),
        movz(2, u32::try_from(SAID.len()).unwrap()),
        CALL,
        movz(8, 93),
        movz(0, 0),
        CALL,
        // As long as CODE says.
        CALL,
    ];
    let size = (HEADERS + code.len() * 4 + FOLDER.len() + SAID.len()) as u64;
    let entry = BASE + HEADERS as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC for EM_AARCH64 (elf(5)).
    bytes.extend([2_u16, 183].map(u16::to_le_bytes).as_flattened());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([entry, 64, 0].map(u64::to_le_bytes).as_flattened());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64_u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).as_flattened());
    // PT_LOAD, readable and executable.
    bytes.extend([1_u32, 5].map(u32::to_le_bytes).as_flattened());
    bytes.extend([0, BASE, BASE, size, size, 0x1_0000].map(u64::to_le_bytes).as_flattened());
    bytes.extend(code.map(u32::to_le_bytes).as_flattened());
    bytes.extend(FOLDER);
    bytes.extend(SAID);
    bytes
}

#[test]
fn programs_for_arm64_run_in_builds_and_containers() {
    let Some(engine) = Engine::with_busybox() else { return };
    let context = Context::new("FROM scratch\nCOPY say /\nRUN [\"/say\"]\nCMD [\"/say\"]\n");
    let say = context.path().join("say");
    fs::write(&say, program()).unwrap();
    fs::set_permissions(&say, fs::Permissions::from_mode(0o755)).unwrap();
    let built = context.build(&engine, &["--platform", "linux/arm64", "--tag", "say:v1"]);
    if !engine.is_machine() && built.err.contains("needs an interpreter that this machine hasn't") {
        eprintln!("skipped: this machine has no interpreter for arm64; the VM has");
        return;
    }
    assert_eq!(built.code, 0, "{}\n{}", built.out, built.err);
    assert!(built.out.contains("aarch64"), "{}", built.out);
    assert_eq!(engine.inspect("say:v1", ".Architecture"), "arm64");
    assert_eq!(engine.ok(&["run", "--rm", "--platform", "linux/arm64", "say:v1"]), "aarch64");
    // What the program made is in the image.
    let made = engine.ok(&["create", "--platform", "linux/arm64", "say:v1"]);
    let listed = engine.client(&["export", &made]).output().unwrap();
    assert!(listed.stdout.windows(5).any(|name| name == b"made/"), "the step's folder isn't there");
}
