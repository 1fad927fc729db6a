//! An interpreter for the instructions that the compiler uses, as the kernel's would run them.

use libc::{BPF_ALU, BPF_AND, BPF_JGT};

use super::*;

fn run(program: &[sock_filter], arch: Arch, number: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(arch.audit().to_le_bytes());
    data.extend([0; 8]);
    data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
    let (mut place, mut value) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[place];
        place += 1;
        let code = u32::from(code);
        let branch = |holds: bool| usize::from(if holds { jt } else { jf });
        if code == BPF_LD | BPF_W | BPF_ABS {
            value = u32::from_le_bytes(data[k as usize..][..4].try_into().unwrap());
        } else if code == BPF_RET | BPF_K {
            return k;
        } else if code == BPF_JMP | BPF_JA {
            place += k as usize;
        } else if code == BPF_JMP | BPF_JEQ {
            place += branch(value == k);
        } else if code == BPF_JMP | BPF_JGE {
            place += branch(value >= k);
        } else if code == BPF_JMP | BPF_JGT {
            place += branch(value > k);
        } else if code == BPF_ALU | BPF_AND {
            value &= k;
        } else {
            panic!("instruction {code:x}");
        }
    }
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;

fn default() -> Vec<sock_filter> {
    program(&super::super::default_profile(&Default::default())).unwrap()
}

fn call(program: &[sock_filter], name: &str, args: [u64; 6]) -> u32 {
    run(program, Arch::X86_64, Arch::X86_64.numbers()[name], args)
}

#[test]
fn the_default_profile_allows_and_refuses() {
    let program = default();
    assert_eq!(call(&program, "read", [0; 6]), ALLOW);
    assert_eq!(call(&program, "mount", [0; 6]), EPERM);
    assert_eq!(call(&program, "clone3", [0; 6]), ENOSYS);
    assert_eq!(call(&program, "clone", [0x7e02_0000 & !0x7e02_0000, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(call(&program, "clone", [0x1000_0000, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(run(&program, Arch::X86_64, 5000, [0; 6]), ENOSYS);
    assert_eq!(run(&program, Arch::X86, 102, [0; 6]), ALLOW);
    assert_eq!(run(&program, Arch::Arm, 1, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn sockets_of_refused_families_are_refused() {
    let program = default();
    let socket = |family| call(&program, "socket", [family, 0, 0, 0, 0, 0]);
    assert_eq!([socket(1), socket(2), socket(16), socket(39)], [ALLOW; 4]);
    assert_eq!([socket(38), socket(40)], [EPERM; 2]);
    assert_eq!(socket(1 << 32), ALLOW);
}

#[test]
fn each_comparison_compares_64_bits() {
    let big: u64 = 0x1_0000_0005;
    let allowed = |op: &str, value: u64| {
        let profile = serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["kill"], "action": "SCMP_ACT_ALLOW",
                          "args": [{"index": 1, "value": big, "valueTwo": 5, "op": op}]}],
        });
        let program = program(&serde_json::from_value(profile).unwrap()).unwrap();
        call(&program, "kill", [9, value, 9, 9, 9, 9]) == ALLOW
    };
    let results = |op| [5, big - 1, big, big + 1, 0x2_0000_0000].map(|value| allowed(op, value));
    assert_eq!(results("SCMP_CMP_EQ"), [false, false, true, false, false]);
    assert_eq!(results("SCMP_CMP_NE"), [true, true, false, true, true]);
    assert_eq!(results("SCMP_CMP_LT"), [true, true, false, false, false]);
    assert_eq!(results("SCMP_CMP_LE"), [true, true, true, false, false]);
    assert_eq!(results("SCMP_CMP_GE"), [false, false, true, true, true]);
    assert_eq!(results("SCMP_CMP_GT"), [false, false, false, true, true]);
    assert_eq!(results("SCMP_CMP_MASKED_EQ"), [true, false, false, false, false]);
}

#[test]
fn the_default_profile_is_small() {
    let length = default().len();
    assert!(length < 1200, "{length} instructions");
}
