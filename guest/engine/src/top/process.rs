//! One process, as /proc has it (proc_pid_stat(5), proc_pid_status(5)).

use std::collections::BTreeMap;

/// What all processes have in common.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// When it was started, in seconds since 1970.
    pub(super) booted: u64,
    /// Now, in seconds since 1970.
    pub(super) now: u64,
    /// Kilobytes of memory.
    pub(super) memory: u64,
    /// Names by number.
    pub(super) users: BTreeMap<u32, String>,
    /// Names by number.
    pub(super) groups: BTreeMap<u32, String>,
}

/// One process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) state: char,
    pub(super) name: String,
    pub(super) command: String,
    /// Device number of its terminal; 0 is none.
    pub(super) terminal: u64,
    pub(super) session_leader: bool,
    pub(super) foreground: bool,
    /// Seconds of CPU time, in hundredths.
    pub(super) cpu_time: u64,
    /// Since boot, in hundredths of a second.
    pub(super) started: u64,
    pub(super) priority: i64,
    pub(super) nice: i64,
    pub(super) threads: u64,
    /// Bytes.
    pub(super) virtual_size: u64,
    /// Pages of 4 KiB.
    pub(super) resident: u64,
    pub(super) processor: u64,
}

impl Machine {
    pub(super) fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let number = |text: &str, key: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(key));
            rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let names = |text: &str| {
            let entry = |line: &str| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                Some((fields.nth(1)?.parse().ok()?, name))
            };
            text.lines().filter_map(entry).collect()
        };
        Self {
            booted: number(&text("/proc/stat"), "btime"),
            now: u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default(),
            memory: number(&text("/proc/meminfo"), "MemTotal:"),
            users: names(&text("/etc/passwd")),
            groups: names(&text("/etc/group")),
        }
    }
}

impl Process {
    /// A living process; none when it isn't.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let read = |file| std::fs::read(format!("/proc/{pid}/{file}")).ok();
        let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
        let status = String::from_utf8_lossy(&read("status")?).into_owned();
        let mut process = Self::parse(&stat)?;
        let id = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        (process.uid, process.gid) = (id("Uid:")?, id("Gid:")?);
        let words = read("cmdline").unwrap_or_default();
        let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let command = words.join(" ").trim_end().to_owned();
        process.command = if command.is_empty() { format!("[{}]", process.name) } else { command };
        Some(process)
    }

    /// `/proc/<pid>/stat`. The name may hold anything, so the last bracket ends it.
    fn parse(stat: &str) -> Option<Self> {
        let (start, rest) = stat.rsplit_once(')')?;
        let (pid, name) = start.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let pid: i32 = pid.trim().parse().ok()?;
        // Fields are numbered from 3, the state, on.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |index| field(index).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
        let positive = |index| u64::try_from(number(index)).unwrap_or_default();
        let group = number(5);
        Some(Self {
            pid,
            parent: i32::try_from(number(4)).ok()?,
            state: field(3)?.chars().next()?,
            name: name.to_owned(),
            terminal: positive(7),
            session_leader: number(6) == i64::from(pid),
            foreground: number(8) == group && positive(7) != 0,
            cpu_time: positive(14) + positive(15),
            priority: number(18),
            nice: number(19),
            threads: positive(20),
            started: positive(22),
            virtual_size: positive(23),
            resident: positive(24),
            processor: positive(39),
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets_and_blanks() {
        let process =
            Process::parse("7 (a) b) S 1 7 7 34816 7 4194304 1 0 0 0 3 4 0 0 20 0 2 0 99 4096 5").unwrap();
        assert_eq!((process.pid, process.name.as_str(), process.parent), (7, "a) b", 1));
        assert_eq!((process.cpu_time, process.threads, process.started, process.resident), (7, 2, 99, 5));
        assert!(process.foreground && process.session_leader);
        assert!(Process::parse("7 (a").is_none());
    }

    #[test]
    fn this_process_is_found() {
        let own = Process::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.resident > 0 && !own.command.is_empty());
        assert!(Machine::read().booted > 0);
    }
}
