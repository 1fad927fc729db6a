//! `RUN --mount=type=…`.

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context or of a stage.
    Bind,
    /// A folder that outlives the build.
    Cache,
    /// A folder in memory.
    Tmpfs,
    /// A secret as a file or a variable.
    Secret,
    /// An agent's socket.
    Ssh,
}

/// Who may use a cache at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// One; others get a cache of their own.
    Private,
    /// One; others wait.
    Locked,
}

/// One mount. Texts may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What kind.
    pub kind: MountKind,
    /// The stage, context or image that has the files.
    pub from: String,
    /// The path there.
    pub source: String,
    /// Where it appears.
    pub target: String,
    /// Whether it can't be written.
    pub read_only: bool,
    /// A cache's, secret's or agent's name.
    pub id: String,
    /// Who may use the cache.
    pub sharing: Sharing,
    /// Whether the secret or agent must be there.
    pub required: bool,
    /// The variable that gets the secret.
    pub env: Option<String>,
    /// The most bytes in a tmpfs; 0 is no limit of its own.
    pub size: u64,
    /// Permissions, and who owns it.
    pub mode: Option<u32>,
    /// See `mode`.
    pub uid: u32,
    /// See `mode`.
    pub gid: u32,
}

/// Parses a mount's comma-separated fields.
pub(super) fn parse(text: &str) -> Result<Mount, String> {
    let mut mount = Mount {
        kind: MountKind::Bind,
        from: String::new(),
        source: String::new(),
        target: String::new(),
        read_only: true,
        id: String::new(),
        sharing: Sharing::Shared,
        required: false,
        env: None,
        size: 0,
        mode: None,
        uid: 0,
        gid: 0,
    };
    let mut access: Option<bool> = None;
    for field in fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value.to_owned())),
            None => (field.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("readonly" | "ro", value) => access = Some(truth(&key, value)?),
            ("readwrite" | "rw", value) => access = Some(!truth(&key, value)?),
            ("required", value) => mount.required = truth(&key, value)?,
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            (key, Some(value)) => mount.set(key, value)?,
        }
    }
    mount.finish(access)
}

impl Mount {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "type" => {
                self.kind = match value.to_ascii_lowercase().as_str() {
                    "bind" => MountKind::Bind,
                    "cache" => MountKind::Cache,
                    "tmpfs" => MountKind::Tmpfs,
                    "secret" => MountKind::Secret,
                    "ssh" => MountKind::Ssh,
                    _ => return Err(format!("unsupported mount type {value:?}")),
                };
            }
            "from" if value.contains('$') => {
                return Err("'from' doesn't support variable expansion, define alias stage instead".into());
            }
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "id" => self.id = value,
            "sharing" => {
                self.sharing = match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(format!("unsupported sharing value {value:?}")),
                };
            }
            "env" => self.env = Some(value),
            "size" => self.size = bytes(&value).ok_or_else(|| format!("invalid size: '{value}'"))?,
            "mode" => {
                let parsed = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(parsed.ok_or_else(|| format!("invalid value {value:?} for mode"))?);
            }
            "uid" => self.uid = value.parse().map_err(|_| format!("invalid value {value:?} for uid"))?,
            "gid" => self.gid = value.parse().map_err(|_| format!("invalid value {value:?} for gid"))?,
            _ => return Err(format!("unexpected key '{key}' in '{key}={value}'")),
        }
        Ok(())
    }

    fn finish(mut self, access: Option<bool>) -> Result<Self, String> {
        let needs_target = match self.kind {
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => true,
            MountKind::Secret | MountKind::Ssh => false,
        };
        if needs_target && self.target.is_empty() {
            return Err("target is required".into());
        }
        self.read_only =
            access.unwrap_or(matches!(self.kind, MountKind::Bind | MountKind::Secret | MountKind::Ssh));
        if self.kind == MountKind::Secret && self.id.is_empty() {
            let path = if self.source.is_empty() { &self.target } else { &self.source };
            self.id = path.rsplit('/').next().unwrap_or_default().to_owned();
            if self.id.is_empty() {
                return Err("one of source, target, id is required".into());
            }
        }
        if self.kind == MountKind::Cache && self.id.is_empty() {
            self.id.clone_from(&self.target);
        }
        if self.kind == MountKind::Ssh && self.id.is_empty() {
            "default".clone_into(&mut self.id);
        }
        Ok(self)
    }
}

fn truth(key: &str, value: Option<String>) -> Result<bool, String> {
    match value.as_deref() {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("invalid value for {key}: {other}")),
    }
}

/// `10m`, `1gb`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches('b') {
        "" => 1,
        "k" | "ki" => 1 << 10,
        "m" | "mi" => 1 << 20,
        "g" | "gi" => 1 << 30,
        "t" | "ti" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Comma-separated, a field with commas in double quotes.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if quoted {
        return Err("failed to parse csv mounts: extraneous or missing \" in quoted-field".into());
    }
    fields.push(field);
    Ok(fields)
}
