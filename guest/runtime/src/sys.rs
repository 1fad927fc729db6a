//! System calls that no safe crate offers as we need them. Called from single-threaded programs only.
#![expect(unsafe_code, reason = "raw system calls")]

use std::ffi::{CString, c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

/// `linux/sched.h`; libc's constant is too narrow to hold it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of [`clone3`] this is.
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The caller.
    Parent {
        /// The child's number in the caller's namespace.
        pid: i32,
        /// The child.
        pidfd: OwnedFd,
    },
}

/// `clone3` as a fork: the child has a copy of memory and descriptors. The caller must be single-threaded.
pub(crate) fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: c_int = -1;
    // SAFETY: an all-zero `clone_args` is valid: every field is an integer.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    // A sibling tells the common parent as the caller does, and may not say how.
    args.exit_signal = if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` outlives the call; without CLONE_VM the child has its own memory and stack, and the
    // process is single-threaded, so no lock is held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel stored a fresh descriptor that nobody else owns.
        1.. => Ok(Cloned::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends the process without running destructors or flushing what the parent has buffered.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Moves the caller into the namespaces behind `fd` (a namespace file or a pidfd).
#[expect(clippy::disallowed_methods, reason = "the caller is single-threaded: the guard or its child")]
pub(crate) fn setns(fd: BorrowedFd<'_>, kinds: c_int) -> io::Result<()> {
    // SAFETY: takes a descriptor and a number.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds) }.into())
}

/// Gives the caller new namespaces.
#[expect(clippy::disallowed_methods, reason = "the caller is single-threaded: the container's own process")]
pub(crate) fn unshare(kinds: c_int) -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::unshare(kinds) }.into())
}

/// Sets and clears attributes of a mount (`MOUNT_ATTR_*`) and its propagation (`MS_*`).
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> io::Result<()> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    change_mount(mount, recursive, &attr)
}

/// Shows the files of a mount that is attached nowhere as the user namespace maps their owners.
pub(crate) fn map_ids(mount: BorrowedFd<'_>, recursive: bool, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    change_mount(mount, recursive, &attr)
}

fn change_mount(mount: BorrowedFd<'_>, recursive: bool, attr: &libc::mount_attr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a terminated string, `attr` outlives the call and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    })
}

/// What a process does that only holds a namespace: nothing, until it is killed or its parent ends.
pub(crate) fn wait_for_death() -> ! {
    let _ = prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64);
    loop {
        // SAFETY: `pause` has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Sets the caller's execution domain (personality(2)).
pub(crate) fn personality(domain: u64) -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::personality(domain as c_ulong) }.into())
}

/// Sets the caller's I/O priority (ioprio_set(2)): class in the upper bits, level in the lower 13.
pub(crate) fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const WHO_PROCESS: c_int = 1;
    // SAFETY: takes numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, class << 13 | level) })
}

/// Sets the caller's memory policy (set_mempolicy(2)): mode and flags in one number, one bit per node.
pub(crate) fn set_memory_policy(mode: c_int, nodes: Option<&[u64]>) -> io::Result<()> {
    let (mask, bits) = nodes.map_or((ptr::null(), 0), |nodes| (nodes.as_ptr(), nodes.len() * 64));
    // SAFETY: the mask outlives the call and has as many bits; the kernel takes one off the number it is given.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits + 1) })
}

/// `struct sched_attr`, `linux/sched/types.h`, in its second size.
#[repr(C)]
#[derive(Default)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

/// Sets the caller's scheduling policy (sched_setattr(2)).
pub(crate) fn set_scheduler(mut attr: SchedAttr) -> io::Result<()> {
    attr.size = size_of::<SchedAttr>() as u32;
    // SAFETY: `attr` outlives the call and holds its own size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })
}

/// Marks every descriptor from `first` on as closed by the next exec.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: only a flag of descriptors changes; they stay open for their owners.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC) })
}

/// Executes `program`; returns only when that fails.
pub(crate) fn execve(program: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let args: Vec<_> = args.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
    let env: Vec<_> = env.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
    // SAFETY: both lists end in null and point to strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Sets host and domain name of the UTS namespace.
pub(crate) fn set_names(host: Option<&str>, domain: Option<&str>) -> io::Result<()> {
    if let Some(name) = host {
        // SAFETY: the pointer is good for the length given.
        check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())?;
    }
    if let Some(name) = domain {
        // SAFETY: as above.
        check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into())?;
    }
    Ok(())
}

/// The other end of a pty master, opened without any path lookup.
pub(crate) fn pty_peer(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let unlock: c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) }.into())?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes the flags by value and returns a fresh descriptor.
    let peer = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    check(peer.into())?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(peer) })
}

/// Duplicates `fd` onto the number `onto`, which stays open over exec.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, onto: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == onto {
        // SAFETY: F_SETFD takes a number.
        return check(unsafe { libc::fcntl(onto, libc::F_SETFD, 0) }.into());
    }
    // SAFETY: only 0, 1 and 2 are passed; Rust's standard streams keep referring to these numbers.
    check(unsafe { libc::dup2(fd.as_raw_fd(), onto) }.into())
}

/// Default dispositions and an empty mask, as a fresh process expects.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition; numbers that can't be set are refused, which is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: `empty` is initialised by sigemptyset before it is read.
    unsafe {
        let mut empty = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut());
    }
}

/// Starts a program that hears every signal, although the caller has blocked them.
pub(crate) fn spawn_hearing(command: &mut Command) -> io::Result<Child> {
    let hear = || {
        reset_signals();
        Ok(())
    };
    // SAFETY: signal(2) and sigprocmask(2) may be called between fork and exec (signal-safety(7)).
    unsafe { command.pre_exec(hear) }.spawn()
}

/// Puts up the loopback of the caller's network namespace, as every runtime does: a fresh one's is down.
pub(crate) fn raise_loopback() -> io::Result<()> {
    let kind = rustix::net::SocketType::DGRAM;
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(rustix::net::AddressFamily::INET, kind, flags, None)?;
    // SAFETY: an all-zero `ifreq` is valid: it is integers, and its name ends with a zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, letter) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *place = letter.cast_signed();
    }
    // SAFETY: the kernel reads the name and fills in the flags (netdevice(7)); `request` outlives both calls.
    unsafe {
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request).into())?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request).into())
    }
}

/// Blocks every signal, for [`next_signal`].
pub(crate) fn block_signals() {
    // SAFETY: `all` is initialised by sigfillset before it is read.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
    }
}

/// Waits for a blocked signal; its number.
pub(crate) fn next_signal() -> io::Result<i32> {
    // SAFETY: as above; sigwaitinfo writes nothing when given no place for it.
    let signal = unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwaitinfo(&raw const all, ptr::null_mut())
    };
    check(signal.into()).map(|()| signal)
}

/// Sends any signal, real-time ones too.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    check(unsafe { libc::kill(pid, signal) }.into())
}

/// `prctl` with a number as argument.
pub(crate) fn prctl(option: c_int, argument: u64) -> io::Result<i32> {
    let zero: c_ulong = 0;
    // SAFETY: only options that take numbers are passed by this crate.
    let result = unsafe { libc::prctl(option, argument as c_ulong, zero, zero, zero) };
    check(result.into()).map(|()| result)
}

/// Adds or clears ambient capabilities (`PR_CAP_AMBIENT_*`).
pub(crate) fn ambient(operation: c_int, capability: u64) -> io::Result<()> {
    let zero: c_ulong = 0;
    // SAFETY: takes numbers.
    let result =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, operation as c_ulong, capability as c_ulong, zero, zero) };
    check(result.into())
}

/// Sets a limit of the caller; `Err` when it may not be raised so far.
pub(crate) fn setrlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }.into())
}

/// The caller's hard limit.
pub(crate) fn hard_limit(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) }.into()).map(|()| limit.rlim_max)
}

/// Installs a seccomp program for the caller; returns the descriptor of its listener, where the flags ask for one.
pub(crate) fn install_filter(program: &[libc::sock_filter], flags: c_ulong) -> io::Result<i32> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    check(result).map(|()| result as i32)
}

/// `union bpf_attr` for BPF_PROG_LOAD, up to what is used; the rest is zero.
#[repr(C)]
pub(crate) struct BpfLoad {
    pub(crate) kind: u32,
    pub(crate) count: u32,
    pub(crate) instructions: u64,
    pub(crate) license: u64,
    pub(crate) rest: [u32; 24],
}

/// `union bpf_attr` for BPF_PROG_ATTACH.
#[repr(C)]
pub(crate) struct BpfAttach {
    pub(crate) target: u32,
    pub(crate) program: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u32,
}

/// `bpf(2)` with attributes that the caller has laid out for `command`.
pub(crate) fn bpf<T>(command: c_int, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: `attributes` outlives the call and its size is given; pointers in it are the caller's
    // and outlive the call as well (cgroup/devices.rs is the only caller).
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), size_of::<T>()) };
    check(result).map(|()| result)
}

/// Takes a descriptor number that a system call just returned.
pub(crate) fn own(fd: i64) -> OwnedFd {
    // SAFETY: only results of system calls that return fresh descriptors are passed.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

fn check(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
