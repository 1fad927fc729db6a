//! An assembler for the kernel's programs (Documentation/bpf/standardization/instruction-set.rst): one function
//! for each kind of instruction that is used, and labels that jumps lead to.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};

use crate::sys::bpf::Map;

/// A register. Calls take arguments in the first five and answer in R0; they keep those from R6 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    /// The end of the stack, whose places are negative offsets.
    Stack,
}

/// How much is loaded or stored: the size bits of an instruction.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Size {
    Word = 0x00,
    Half = 0x08,
    Byte = 0x10,
    Double = 0x18,
}

/// Functions of the kernel that programs may call (`enum bpf_func_id`; bpf-helpers(7)).
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(crate) enum Function {
    /// (map, key): the value's place, or 0.
    Lookup = 1,
    /// (map, key, value, flags): 0 when it is there now.
    Update = 2,
    /// (map, key).
    Delete = 3,
    /// (packet, offset, bytes, length, flags).
    StoreBytes = 9,
    /// (packet, offset of the sum, from, to, length): with length 0, `to` is a difference. The IPv4 header's.
    ReplaceHeaderSum = 10,
    /// (packet, offset of the sum, from, to, flags): as above. TCP's.
    ReplaceSum = 11,
    /// (interface, flags): what the program returns, so that the packet leaves by that interface.
    Redirect = 23,
    /// (packet, offset, room, length): 0 when so much is there.
    LoadBytes = 26,
    /// (from, its length, to, its length, seed): the difference of their sums.
    Difference = 28,
    /// (connection): a number of its socket's own.
    SocketCookie = 46,
    /// (connection): a number of its network namespace's own.
    NetworkCookie = 122,
    /// (interface, flags): as [`Function::Redirect`], so that the interface's other end, in another namespace, receives it.
    RedirectPeer = 155,
}

/// A program on its way.
#[derive(Default)]
pub(crate) struct Assembly {
    code: Vec<u64>,
    labels: HashMap<&'static str, usize>,
    jumps: Vec<(usize, &'static str)>,
}

impl Assembly {
    /// Jumps lead here from now on.
    pub(crate) fn label(&mut self, name: &'static str) {
        self.labels.insert(name, self.code.len());
    }

    pub(crate) fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from, 0, 0);
    }

    pub(crate) fn set(&mut self, to: Register, value: i32) {
        self.push(0xb7, to, Register::R0, 0, value);
    }

    /// Sets all 64 bits: two instructions.
    pub(crate) fn set_wide(&mut self, to: Register, value: u64) {
        self.push(0x18, to, Register::R0, 0, value as i32);
        self.push(0, Register::R0, Register::R0, 0, (value >> 32) as i32);
    }

    /// The map as an argument: a wide number that the kernel replaces.
    pub(crate) fn set_map(&mut self, to: Register, map: &Map) {
        // R1 as the source means BPF_PSEUDO_MAP_FD.
        self.push(0x18, to, Register::R1, 0, map.as_fd().as_raw_fd());
        self.push(0, Register::R0, Register::R0, 0, 0);
    }

    /// A place on the stack as an argument.
    pub(crate) fn point(&mut self, to: Register, base: Register, offset: i16) {
        self.copy(to, base);
        self.push(0x07, to, Register::R0, 0, offset.into());
    }

    pub(crate) fn and(&mut self, to: Register, mask: i32) {
        self.push(0x57, to, Register::R0, 0, mask);
    }

    pub(crate) fn shift_right(&mut self, to: Register, bits: i32) {
        self.push(0x77, to, Register::R0, 0, bits);
    }

    pub(crate) fn shift_left(&mut self, to: Register, bits: i32) {
        self.push(0x67, to, Register::R0, 0, bits);
    }

    pub(crate) fn add(&mut self, to: Register, from: Register) {
        self.push(0x0f, to, from, 0, 0);
    }

    pub(crate) fn load(&mut self, size: Size, to: Register, base: Register, offset: i16) {
        self.push(0x61 | size as u8, to, base, offset, 0);
    }

    pub(crate) fn store(&mut self, size: Size, base: Register, offset: i16, from: Register) {
        self.push(0x63 | size as u8, base, from, offset, 0);
    }

    /// Sets bits of a word in memory that other processors may set bits of, too.
    pub(crate) fn set_bits(&mut self, base: Register, offset: i16, bits: Register) {
        const OR: i32 = 0x40;
        self.push(0xc3, base, bits, offset, OR);
    }

    pub(crate) fn jump(&mut self, label: &'static str) {
        self.branch(0x05, Register::R0, Register::R0, 0, label);
    }

    /// Compares the whole register with a small number: what a function answered.
    pub(crate) fn jump_if(&mut self, register: Register, value: i32, label: &'static str) {
        self.branch(0x15, register, Register::R0, value, label);
    }

    pub(crate) fn jump_unless(&mut self, register: Register, value: i32, label: &'static str) {
        self.branch(0x55, register, Register::R0, value, label);
    }

    /// Compares the lower half, as which bytes of a packet are loaded.
    pub(crate) fn jump_if_word(&mut self, register: Register, value: u32, label: &'static str) {
        self.branch(0x16, register, Register::R0, value.cast_signed(), label);
    }

    pub(crate) fn jump_unless_word(&mut self, register: Register, value: u32, label: &'static str) {
        self.branch(0x56, register, Register::R0, value.cast_signed(), label);
    }

    pub(crate) fn jump_if_greater(&mut self, register: Register, value: i32, label: &'static str) {
        self.branch(0x25, register, Register::R0, value, label);
    }

    /// Whether any of these bits is set.
    pub(crate) fn jump_if_any(&mut self, register: Register, bits: i32, label: &'static str) {
        self.branch(0x45, register, Register::R0, bits, label);
    }

    pub(crate) fn jump_if_same(&mut self, one: Register, other: Register, label: &'static str) {
        self.branch(0x1d, one, other, 0, label);
    }

    pub(crate) fn jump_unless_same(&mut self, one: Register, other: Register, label: &'static str) {
        self.branch(0x5d, one, other, 0, label);
    }

    pub(crate) fn call(&mut self, function: Function) {
        self.push(0x85, Register::R0, Register::R0, 0, function as i32);
    }

    /// Ends the program; its answer is in R0.
    pub(crate) fn exit(&mut self) {
        self.push(0x95, Register::R0, Register::R0, 0, 0);
    }

    /// The instructions, whose jumps know their distances now. One to a label that isn't there stays in its place, which
    /// the kernel refuses.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        for (place, label) in self.jumps {
            let distance = self.labels.get(label).map_or(-1, |target| *target as i64 - place as i64 - 1);
            self.code[place] |= u64::from(distance as u16) << 16;
        }
        self.code
    }

    fn branch(&mut self, code: u8, one: Register, other: Register, value: i32, label: &'static str) {
        self.jumps.push((self.code.len(), label));
        self.push(code, one, other, 0, value);
    }

    /// `code u8, registers u8, offset i16, immediate i32`, little-endian.
    fn push(&mut self, code: u8, target: Register, source: Register, offset: i16, immediate: i32) {
        self.code.push(
            u64::from(code)
                | u64::from((source as u8) << 4 | target as u8) << 8
                | u64::from(offset.cast_unsigned()) << 16
                | u64::from(immediate.cast_unsigned()) << 32,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_laid_out_as_the_kernel_reads_them() {
        let mut code = Assembly::default();
        code.load(Size::Half, Register::R2, Register::Stack, -66);
        code.set_wide(Register::R3, 0x0123_4567_89ab_cdef);
        assert_eq!(code.finish(), [0xffbe_a269, 0x89ab_cdef_0000_0318, 0x0123_4567_0000_0000]);
    }

    #[test]
    fn jumps_lead_to_labels_before_and_after_them() {
        let mut code = Assembly::default();
        code.label("again");
        code.jump_if(Register::R0, 7, "out");
        code.jump("again");
        code.label("out");
        code.exit();
        assert_eq!(code.finish(), [0x7_0001_0015, 0xfffe_0005, 0x95]);
    }
}
