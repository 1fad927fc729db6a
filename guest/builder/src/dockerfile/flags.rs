//! `--name=value` before an instruction's arguments.

/// The flags at the start of an instruction, and the arguments after them.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Splits flags off, as Docker does: quotes and escapes hold a value together and stay out of it.
    pub(super) fn split(text: &str, escape: char) -> (Self, String) {
        let mut flags = Self::default();
        let mut rest = text.trim_start();
        while rest.starts_with("--") {
            let (word, length) = word(rest, escape);
            rest = rest[length..].trim_start();
            if word == "--" {
                break;
            }
            let body = word.trim_start_matches("--");
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            flags.given.push((name.to_owned(), value));
        }
        (flags, rest.to_owned())
    }

    /// Takes a flag that has one value.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.list(name)?;
        if values.len() > 1 {
            return Err(format!("duplicate flag specified: {name}"));
        }
        Ok(values.pop())
    }

    /// Takes a flag that may be given several times.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        for (_, value) in self.given.extract_if(.., |(given, _)| given == name) {
            values.push(value.ok_or_else(|| format!("missing a value on flag: {name}"))?);
        }
        Ok(values)
    }

    /// Takes a flag that is given or not, or says so.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, String> {
        let mut found = None;
        for (_, value) in self.given.extract_if(.., |(given, _)| given == name) {
            found = Some(match value.as_deref() {
                None | Some("true") => true,
                Some("false") => false,
                Some(other) => {
                    return Err(format!("expecting boolean value for flag {name}, not: {other}"));
                }
            });
        }
        Ok(found)
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.given.into_iter().next() {
            Some((name, _)) => Err(format!("unknown flag: --{name}")),
            None => Ok(()),
        }
    }
}

/// The first word without its quotes, and how many bytes of the text it takes.
fn word(text: &str, escape: char) -> (String, usize) {
    let (mut word, mut quote) = (String::new(), None);
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match quote {
            _ if c == escape && quote != Some('\'') => word.extend(characters.next().map(|(_, next)| next)),
            Some(open) if c == open => quote = None,
            None if c.is_whitespace() => return (word, at),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => word.push(c),
        }
    }
    (word, text.len())
}
