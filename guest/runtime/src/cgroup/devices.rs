//! Which devices may be used: a BPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (cgroup-v2.rst, "Device controller").
//!
//! The last rule that speaks about an access decides it, so the program asks the rules from the last to the first.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags};

use crate::error::{Doing, Error};
use crate::sys::{self, BpfAttach, BpfLoad};

/// `enum bpf_cmd` and its kin, `linux/bpf.h`.
const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// Registers: the context, then what it holds, then a scratch.
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

pub(super) fn apply(folder: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), Error> {
    if rules.is_empty() {
        return Ok(());
    }
    let program = load(&program(rules)).on("load the device rules of", folder)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(folder, flags, Mode::empty()).on("open the cgroup", folder)?;
    let mut attach = BpfAttach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    sys::bpf(PROG_ATTACH, &mut attach).map(drop).on("attach the device rules to", folder)
}

fn load(program: &[u64]) -> std::io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut attributes = BpfLoad {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        rest: [0; 24],
    };
    sys::bpf(PROG_LOAD, &mut attributes).map(sys::own)
}

/// One instruction: `code u8, registers u8, offset i16, immediate i32`, little-endian.
fn instruction(code: u8, target: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(source << 4 | target) << 8
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x57;
const SET: u8 = 0xb7;
const JUMP_UNLESS: u8 = 0x55;
const JUMP_IF: u8 = 0x15;
const EXIT: u8 = 0x95;

fn program(rules: &[LinuxDeviceCgroup]) -> Vec<u64> {
    // struct bpf_cgroup_dev_ctx: access << 16 | kind, major, minor.
    let mut code = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(COPY, ACCESS, KIND, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        code.extend(one(rule));
    }
    code.extend(answer(false));
    code
}

fn answer(allowed: bool) -> [u64; 2] {
    [instruction(SET, 0, 0, 0, allowed.into()), instruction(EXIT, 0, 0, 0, 0)]
}

/// Answers if the rule speaks about this access; falls through otherwise.
fn one(rule: &LinuxDeviceCgroup) -> Vec<u64> {
    // Jumps get their distance, past the answer, once the length is known.
    let mut tests: Vec<(u8, u8, i32)> = Vec::new();
    match rule.typ().unwrap_or_default() {
        LinuxDeviceType::B => tests.push((JUMP_UNLESS, KIND, 1)),
        LinuxDeviceType::C | LinuxDeviceType::U => tests.push((JUMP_UNLESS, KIND, 2)),
        LinuxDeviceType::A | LinuxDeviceType::P => {}
    }
    for (register, number) in [(MAJOR, rule.major()), (MINOR, rule.minor())] {
        if let Some(number) =
            number.and_then(|number| i32::try_from(number).ok()).filter(|number| *number >= 0)
        {
            tests.push((JUMP_UNLESS, register, number));
        }
    }
    let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    // BPF_DEVCG_ACC_MKNOD, _READ, _WRITE.
    let bits = [('m', 1), ('r', 2), ('w', 4)];
    let access =
        bits.iter().filter(|(letter, _)| access.contains(*letter)).fold(0, |sum, (_, bit)| sum | bit);
    // An allowing rule must cover the whole access; a refusing one needs to touch it.
    let (mask, jump) = if rule.allow() { (!access & 7, JUMP_UNLESS) } else { (access, JUMP_IF) };
    tests.push((jump, SCRATCH, 0));

    let total = tests.len() + 2;
    let mut code = vec![instruction(COPY, SCRATCH, ACCESS, 0, 0), instruction(AND, SCRATCH, 0, 0, mask)];
    for (place, (jump, register, value)) in tests.into_iter().enumerate() {
        code.push(instruction(jump, register, 0, (total - place - 1) as i16, value));
    }
    code.extend(answer(rule.allow()));
    code
}
