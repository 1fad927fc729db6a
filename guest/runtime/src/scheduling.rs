//! How a process competes for CPUs and disks: scheduler, I/O priority, CPU affinity.

use oci_spec::runtime::{IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};
use rustix::thread::CpuSet;

use crate::error::{Doing, Error};
use crate::sys::{self, SchedAttr};

/// Applies what the process asks for.
pub(crate) fn apply(process: &Process) -> Result<(), Error> {
    if let Some(scheduler) = process.scheduler() {
        sys::set_scheduler(attributes(scheduler)?).doing("set the scheduler")?;
    }
    if let Some(priority) = process.io_priority() {
        // ioprio_set(2): class 1 is real-time, 2 best-effort, 3 idle.
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u32::try_from(priority.priority()).ok().filter(|level| *level < 8);
        let level = level.ok_or(Error::Spec("process.ioPriority.priority isn't within 0 to 7"))?;
        sys::set_io_priority(class, level).doing("set the I/O priority")?;
    }
    Ok(())
}

/// Lets the process run on these CPUs only; `cpus` is a list as `0-3,7`.
pub(crate) fn run_on(cpus: &str) -> Result<(), Error> {
    let mut set = CpuSet::new();
    numbers("CPUs", cpus, CpuSet::MAX_CPU)?.into_iter().for_each(|cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set).doing("set the CPU affinity")
}

/// The numbers of a list as `0-3,7`, each below `end`.
pub(crate) fn numbers(what: &'static str, list: &str, end: usize) -> Result<Vec<usize>, Error> {
    let refused = || Error::Refused(format!("not a list of {what}: {list:?}"));
    let mut all = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| refused())?;
        let last: usize = last.trim().parse().map_err(|_| refused())?;
        if first > last || last >= end {
            return Err(refused());
        }
        all.extend(first..=last);
    }
    Ok(all)
}

/// sched(7), `linux/sched.h`.
fn attributes(scheduler: &Scheduler) -> Result<SchedAttr, Error> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => {
            return Err(Error::Spec("process.scheduler.policy SCHED_ISO, which Linux never got"));
        }
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = scheduler.flags().iter().flatten().fold(0, |flags, flag| flags | bit(flag));
    let priority = scheduler.priority().unwrap_or(0);
    Ok(SchedAttr {
        policy,
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| Error::Spec("a negative process.scheduler.priority"))?,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
        ..SchedAttr::default()
    })
}

fn bit(flag: &LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}
