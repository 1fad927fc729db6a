//! `--chmod`: octal (`755`) or symbolic (`u=rwX,go=rX`).

/// Parsed permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// `who`, `+`, `-` or `=`, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Bits of user, group and others that it is about.
    who: u32,
    operator: char,
    bits: u32,
    /// `X`: execution for folders and for what somebody may execute.
    conditional: bool,
    special: u32,
}

impl Chmod {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(invalid);
        }
        text.split(',').map(clause).collect::<Option<Vec<_>>>().map(Self::Symbolic).ok_or_else(invalid)
    }

    /// What permissions become.
    pub(crate) fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Octal(fixed) => *fixed,
            Self::Symbolic(clauses) => {
                clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_folder))
            }
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        let mut bits = self.bits;
        if self.conditional && (is_folder || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        let bits = (bits & self.who) | self.special;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !self.who) | bits,
        }
    }
}

fn clause(text: &str) -> Option<Clause> {
    let at = text.find(['+', '-', '='])?;
    let mut who = 0;
    for c in text[..at].chars() {
        who |= match c {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    let who = if at == 0 { 0o777 } else { who };
    let operator = text[at..].chars().next()?;
    let mut clause = Clause { who, operator, bits: 0, conditional: false, special: 0 };
    for c in text[at + 1..].chars() {
        match c {
            'r' => clause.bits |= 0o444,
            'w' => clause.bits |= 0o222,
            'x' => clause.bits |= 0o111,
            'X' => clause.conditional = true,
            's' => {
                clause.special |=
                    (if who & 0o700 != 0 { 0o4000 } else { 0 }) | (if who & 0o070 != 0 { 0o2000 } else { 0 })
            }
            't' => clause.special |= 0o1000,
            _ => return None,
        }
    }
    Some(clause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_permissions_change_what_is_there() {
        let apply = |text: &str, mode, folder| Chmod::parse(text).unwrap().apply(mode, folder);
        assert_eq!(apply("755", 0o600, false), 0o755);
        assert_eq!(apply("u=rwX,go=rX", 0o600, false), 0o644);
        assert_eq!(apply("u=rwX,go=rX", 0o700, true), 0o755);
        assert_eq!(apply("+x", 0o644, false), 0o755);
        assert_eq!(apply("g-w", 0o664, false), 0o644);
        assert!(Chmod::parse("999").is_err() && Chmod::parse("q+x").is_err());
    }
}
