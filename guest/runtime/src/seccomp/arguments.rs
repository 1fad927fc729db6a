//! Conditions on the arguments of a call: 64 bit values compared with BPF's 32 bit ones.

use libc::{BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_K, sock_filter};
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

use super::compile::{give, jump, load, statement};
use crate::error::Error;

/// Offset of the first argument in `struct seccomp_data`; each is 8 bytes, the low word first.
const ARGUMENTS: u32 = 16;

/// Where a comparison goes; resolved when the length of what it jumps over is known.
#[derive(Clone, Copy, PartialEq)]
enum To {
    /// The next instruction.
    On,
    /// Past this condition, which holds.
    Holds,
    /// Past this rule, which doesn't apply.
    Fails,
}

enum Step {
    Plain(sock_filter),
    Jump { comparison: u32, k: u32, yes: To, no: To },
}

/// Returns `action` if all conditions hold; falls through otherwise.
pub(super) fn check(conditions: &[LinuxSeccompArg], action: u32) -> Result<Vec<sock_filter>, Error> {
    let conditions: Vec<_> = conditions.iter().map(steps).collect::<Result<_, _>>()?;
    let total: usize = conditions.iter().map(Vec::len).sum::<usize>() + 1;
    if total > usize::from(u8::MAX) {
        return Err(Error::Spec("too many conditions in a seccomp rule"));
    }
    let mut code = Vec::with_capacity(total);
    for steps in conditions {
        let end = code.len() + steps.len();
        for step in steps {
            let here = code.len() + 1;
            let distance = |to| match to {
                To::On => 0,
                To::Holds => (end - here) as u8,
                To::Fails => (total - here) as u8,
            };
            code.push(match step {
                Step::Plain(instruction) => instruction,
                Step::Jump { comparison, k, yes, no } => jump(comparison, k, distance(yes), distance(no)),
            });
        }
    }
    code.push(give(action));
    Ok(code)
}

/// One condition.
fn steps(condition: &LinuxSeccompArg) -> Result<Vec<Step>, Error> {
    use LinuxSeccompOperator as Operator;
    let index = u32::try_from(condition.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or(Error::Spec("a seccomp rule on an argument beyond the sixth"))?;
    let low_word = ARGUMENTS + 8 * index;
    let value = condition.value();
    let (high, low) = ((value >> 32) as u32, value as u32);
    let load_high = Step::Plain(load(low_word + 4));
    let load_low = Step::Plain(load(low_word));
    let compare = |comparison, k, yes, no| Step::Jump { comparison, k, yes, no };
    // The high words decide unless they are equal.
    let ordered = |above, below, last: Step| {
        vec![
            load_high,
            compare(BPF_JGT, high, above, To::On),
            compare(BPF_JEQ, high, To::On, below),
            load_low,
            last,
        ]
    };
    Ok(match condition.op() {
        Operator::ScmpCmpEq => vec![
            Step::Plain(load(low_word + 4)),
            compare(BPF_JEQ, high, To::On, To::Fails),
            Step::Plain(load(low_word)),
            compare(BPF_JEQ, low, To::On, To::Fails),
        ],
        Operator::ScmpCmpNe => vec![
            Step::Plain(load(low_word + 4)),
            compare(BPF_JEQ, high, To::On, To::Holds),
            Step::Plain(load(low_word)),
            compare(BPF_JEQ, low, To::Fails, To::On),
        ],
        Operator::ScmpCmpGt => ordered(To::Holds, To::Fails, compare(BPF_JGT, low, To::On, To::Fails)),
        Operator::ScmpCmpGe => ordered(To::Holds, To::Fails, compare(BPF_JGE, low, To::On, To::Fails)),
        Operator::ScmpCmpLt => ordered(To::Fails, To::Holds, compare(BPF_JGE, low, To::Fails, To::On)),
        Operator::ScmpCmpLe => ordered(To::Fails, To::Holds, compare(BPF_JGT, low, To::Fails, To::On)),
        Operator::ScmpCmpMaskedEq => {
            let wanted = condition.value_two().unwrap_or(0);
            let and = |mask| Step::Plain(statement(BPF_ALU | BPF_AND | BPF_K, mask));
            vec![
                Step::Plain(load(low_word + 4)),
                and(high),
                compare(BPF_JEQ, (wanted >> 32) as u32, To::On, To::Fails),
                Step::Plain(load(low_word)),
                and(low),
                compare(BPF_JEQ, wanted as u32, To::On, To::Fails),
            ]
        }
    })
}
