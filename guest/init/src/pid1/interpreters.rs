//! Programs of other processors: the kernel hands them to the emulators that the image brings (binfmt_misc), in every
//! container.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Where the kernel takes a new one.
const REGISTER: &str = "/proc/sys/fs/binfmt_misc/register";
/// Where the image has its emulators.
const PROGRAMS: &str = "/bin";
/// Which bytes of a program's beginning count: not who made the system that it is for, and whether it lies anywhere in
/// memory or at one place.
const MASK: [u8; 20] = {
    let mut mask = [0xff; 20];
    mask[7] = 0;
    mask[16] = 0xfe;
    mask
};
/// P: the program learns the name that it was called by. O, C: it is opened by the kernel, and has its own privileges. F:
/// the emulator is opened now, so that it need not lie in a container.
const FLAGS: &str = "POCF";

/// A processor whose programs are little-endian ELF files.
struct Processor {
    /// As QEMU names it.
    name: &'static str,
    /// ELFCLASS32 or ELFCLASS64 (elf(5)).
    class: u8,
    /// `e_machine`.
    machine: u16,
}

const PROCESSORS: &[Processor] = &[
    Processor { name: "aarch64", class: 2, machine: 183 },
    Processor { name: "arm", class: 1, machine: 40 },
    Processor { name: "riscv64", class: 2, machine: 243 },
    Processor { name: "x86_64", class: 2, machine: 62 },
];

/// Names every emulator of the image to the kernel. Without one the machine works, but for such programs.
pub(super) fn register() {
    for processor in PROCESSORS {
        let program = format!("{PROGRAMS}/qemu-{}-static", processor.name);
        if Path::new(&program).exists()
            && let Err(error) = fs::write(REGISTER, processor.entry(&program))
        {
            tracing::warn!(%error, "programs of {} don't run", processor.name);
        }
    }
}

impl Processor {
    /// What the kernel is told (the kernel's admin-guide/binfmt-misc).
    fn entry(&self, program: &str) -> String {
        let mut magic = [0; 20];
        magic[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', self.class, 1, 1]);
        // ET_EXEC; the mask lets ET_DYN pass.
        magic[16] = 2;
        magic[18..].copy_from_slice(&self.machine.to_le_bytes());
        format!(":qemu-{}:M::{}:{}:{program}:{FLAGS}", self.name, escaped(&magic), escaped(&MASK))
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_what_qemu_tells_it() {
        // `scripts/qemu-binfmt-conf.sh` of QEMU.
        let told = ":qemu-aarch64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\
            \\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:\
            /bin/qemu-aarch64-static:POCF";
        assert_eq!(PROCESSORS[0].entry("/bin/qemu-aarch64-static"), told);
    }
}
