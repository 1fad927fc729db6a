//! `ps`'s columns, and its options that choose them.

use jiff::Timestamp;

use super::process::{Machine, Process};
use crate::Error;

/// Ticks of the kernel's clock in a second, as user space sees it on every architecture.
const TICKS: u64 = 100;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: String,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    User,
    UserId,
    Group,
    GroupId,
    Pid,
    Parent,
    CpuShare,
    CpuPercent,
    MemoryPercent,
    VirtualSize,
    Resident,
    Terminal,
    Status,
    State,
    Started,
    StartedLong,
    CpuTime,
    CpuTimeShort,
    Elapsed,
    Name,
    Command,
    Nice,
    Priority,
    Processor,
    Threads,
}

/// Names that `-o` takes, with their titles.
const NAMES: &[(&str, &str, What)] = &[
    ("user", "USER", What::User),
    ("euser", "EUSER", What::User),
    ("uname", "USER", What::User),
    ("uid", "UID", What::UserId),
    ("euid", "EUID", What::UserId),
    ("group", "GROUP", What::Group),
    ("egroup", "EGROUP", What::Group),
    ("gid", "GID", What::GroupId),
    ("egid", "EGID", What::GroupId),
    ("pid", "PID", What::Pid),
    ("tgid", "TGID", What::Pid),
    ("ppid", "PPID", What::Parent),
    ("c", "C", What::CpuShare),
    ("%cpu", "%CPU", What::CpuPercent),
    ("pcpu", "%CPU", What::CpuPercent),
    ("%mem", "%MEM", What::MemoryPercent),
    ("pmem", "%MEM", What::MemoryPercent),
    ("vsz", "VSZ", What::VirtualSize),
    ("vsize", "VSZ", What::VirtualSize),
    ("rss", "RSS", What::Resident),
    ("rssize", "RSS", What::Resident),
    ("tty", "TT", What::Terminal),
    ("tt", "TT", What::Terminal),
    ("tname", "TTY", What::Terminal),
    ("stat", "STAT", What::Status),
    ("s", "S", What::State),
    ("state", "S", What::State),
    ("start", "STARTED", What::Started),
    ("start_time", "START", What::Started),
    ("stime", "STIME", What::Started),
    ("lstart", "STARTED", What::StartedLong),
    ("time", "TIME", What::CpuTime),
    ("cputime", "TIME", What::CpuTime),
    ("etime", "ELAPSED", What::Elapsed),
    ("comm", "COMMAND", What::Name),
    ("ucmd", "CMD", What::Name),
    ("args", "COMMAND", What::Command),
    ("command", "COMMAND", What::Command),
    ("cmd", "CMD", What::Command),
    ("ni", "NI", What::Nice),
    ("nice", "NI", What::Nice),
    ("pri", "PRI", What::Priority),
    ("psr", "PSR", What::Processor),
    ("nlwp", "NLWP", What::Threads),
    ("thcount", "THCNT", What::Threads),
];

/// `ps -f`.
const FULL: &[(&str, What)] = &[
    ("UID", What::User),
    ("PID", What::Pid),
    ("PPID", What::Parent),
    ("C", What::CpuShare),
    ("STIME", What::Started),
    ("TTY", What::Terminal),
    ("TIME", What::CpuTime),
    ("CMD", What::Command),
];

/// `ps u`.
const USER: &[(&str, What)] = &[
    ("USER", What::User),
    ("PID", What::Pid),
    ("%CPU", What::CpuPercent),
    ("%MEM", What::MemoryPercent),
    ("VSZ", What::VirtualSize),
    ("RSS", What::Resident),
    ("TTY", What::Terminal),
    ("STAT", What::Status),
    ("START", What::Started),
    ("TIME", What::CpuTimeShort),
    ("COMMAND", What::Command),
];

/// `ps`.
const SHORT: &[(&str, What)] =
    &[("PID", What::Pid), ("TTY", What::Terminal), ("TIME", What::CpuTime), ("CMD", What::Name)];

/// The columns that `ps_args` asks for; without any, those of `-ef`.
pub(super) fn chosen(ps_args: &str) -> Result<Vec<Column>, Error> {
    let mut words = ps_args.split_whitespace().peekable();
    if words.peek().is_none() {
        return Ok(table(FULL));
    }
    let (mut own, mut format) = (Vec::new(), SHORT);
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').unwrap_or(word);
        let wish = match letters.split_once('o') {
            _ if word.starts_with("--") => match word.strip_prefix("--format") {
                Some("") => Some(words.next().unwrap_or_default()),
                Some(rest) => rest.strip_prefix('='),
                None => return Err(unknown(word)),
            },
            Some((before, rest)) => {
                format = style(before, word)?.unwrap_or(format);
                Some(if rest.is_empty() { words.next().unwrap_or_default() } else { rest })
            }
            None => {
                format = style(letters, word)?.unwrap_or(format);
                None
            }
        };
        if let Some(wish) = wish {
            own.extend(wish.split(',').map(named).collect::<Result<Vec<_>, _>>()?);
        }
    }
    let columns = if own.is_empty() { table(format) } else { own };
    if columns.iter().any(|column| column.what == What::Pid) {
        return Ok(columns);
    }
    Err(Error::InvalidRequest("Couldn't find PID field in ps output".to_owned()))
}

/// What single letters ask for: which processes (all the same here) and which columns.
fn style(letters: &str, word: &str) -> Result<Option<&'static [(&'static str, What)]>, Error> {
    let mut format = None;
    for letter in letters.chars() {
        match letter {
            'f' | 'F' => format = Some(FULL),
            'u' => format = Some(USER),
            'e' | 'A' | 'a' | 'x' | 'd' | 'w' | 'h' => {}
            _ => return Err(unknown(word)),
        }
    }
    Ok(format)
}

/// `pid`, or `pid=Title`.
fn named(wish: &str) -> Result<Column, Error> {
    let (name, title) = wish.split_once('=').unwrap_or((wish, ""));
    let found = NAMES.iter().find(|(known, ..)| *known == name);
    let (_, usual, what) = found.ok_or_else(|| {
        Error::InvalidRequest(format!("ps: error: unknown user-defined format specifier \"{name}\""))
    })?;
    Ok(Column { title: if title.is_empty() { usual } else { title }.to_owned(), what: *what })
}

fn unknown(word: &str) -> Error {
    Error::InvalidRequest(format!("ps: error: unsupported option {word:?}: use -ef, aux or -o with columns"))
}

fn table(columns: &[(&str, What)]) -> Vec<Column> {
    columns.iter().map(|&(title, what)| Column { title: title.to_owned(), what }).collect()
}

impl Column {
    /// What this column says of a process.
    pub(super) fn of(&self, process: &Process, machine: &Machine) -> String {
        let name = |names: &std::collections::BTreeMap<u32, String>, id: u32| {
            names.get(&id).cloned().unwrap_or_else(|| id.to_string())
        };
        let elapsed = machine.now.saturating_sub(machine.booted + process.started / TICKS);
        let cpu = process.cpu_time * 1000 / TICKS / elapsed.max(1);
        let memory = (process.resident * 4 * 1000).checked_div(machine.memory).unwrap_or_default();
        match self.what {
            What::User => name(&machine.users, process.uid),
            What::UserId => process.uid.to_string(),
            What::Group => name(&machine.groups, process.gid),
            What::GroupId => process.gid.to_string(),
            What::Pid => process.pid.to_string(),
            What::Parent => process.parent.to_string(),
            What::CpuShare => (cpu / 10).min(99).to_string(),
            What::CpuPercent => format!("{}.{}", cpu / 10, cpu % 10),
            What::MemoryPercent => format!("{}.{}", memory / 10, memory % 10),
            What::VirtualSize => (process.virtual_size >> 10).to_string(),
            What::Resident => (process.resident * 4).to_string(),
            What::Terminal => terminal(process.terminal),
            What::Status => status(process),
            What::State => process.state.to_string(),
            What::Started => started(machine.booted + process.started / TICKS, machine.now),
            What::StartedLong => {
                let at = machine.booted + process.started / TICKS;
                format(at, "%a %b %e %H:%M:%S %Y")
            }
            What::CpuTime => clock(process.cpu_time / TICKS, true),
            What::CpuTimeShort => {
                let seconds = process.cpu_time / TICKS;
                format!("{}:{:02}", seconds / 60, seconds % 60)
            }
            What::Elapsed => clock(elapsed, elapsed >= 3600),
            What::Name => process.name.clone(),
            What::Command => process.command.clone(),
            What::Nice => process.nice.to_string(),
            What::Priority => (39 - process.priority).to_string(),
            What::Processor => process.processor.to_string(),
            What::Threads => process.threads.to_string(),
        }
    }
}

/// `[days-][hours:]minutes:seconds`.
fn clock(seconds: u64, with_hours: bool) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days > 0 { format!("{days}-") } else { String::new() };
    let hours = if with_hours { format!("{hours:02}:") } else { String::new() };
    format!("{days}{hours}{minutes:02}:{:02}", seconds % 60)
}

/// The time of day when that is less than a day ago, else the day.
fn started(at: u64, now: u64) -> String {
    format(at, if now.saturating_sub(at) < 86_400 { "%H:%M" } else { "%b%d" })
}

fn format(at: u64, how: &str) -> String {
    let at = Timestamp::from_second(i64::try_from(at).unwrap_or_default()).unwrap_or_default();
    at.strftime(how).to_string()
}

/// `pts/0`, `tty1`, or `?` (Documentation/admin-guide/devices.txt).
fn terminal(number: u64) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff_ff00);
    match major {
        0 => "?".to_owned(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major},{minor}"),
    }
}

/// `Ss+`: the state, and what `ps` adds to it.
fn status(process: &Process) -> String {
    let marks = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.session_leader, 's'),
        (process.threads > 1, 'l'),
        (process.foreground, '+'),
    ];
    let marks = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark);
    std::iter::once(process.state).chain(marks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(ps_args: &str) -> String {
        let columns = chosen(ps_args).unwrap();
        columns.iter().map(|column| column.title.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_choose_columns_as_ps_has_them() {
        assert_eq!(titles(""), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(titles("-ef"), titles(""));
        let user = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND";
        assert_eq!([titles("aux"), titles("-eaux")], [user, user]);
        assert_eq!(titles("-o pid,comm"), "PID COMMAND");
        assert_eq!(titles("-eo pid=Number,args"), "Number COMMAND");
        assert_eq!(titles("-e"), "PID TTY TIME CMD");
        assert!(chosen("-o comm").is_err() && chosen("-o pid,wings").is_err() && chosen("-Z").is_err());
    }

    #[test]
    fn values_read_as_ps_writes_them() {
        assert_eq!([terminal(0), terminal(0x8801), terminal(0x404)], ["?", "pts/1", "tty4"]);
        assert_eq!(
            [clock(61, true), clock(61, false), clock(90_000, true)],
            ["00:01:01", "01:01", "1-01:00:00"]
        );
        assert_eq!(started(0, 86_400 * 3), "Jan01");
    }
}
