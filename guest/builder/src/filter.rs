//! Conditions on records of the cache, as clients write them: `type==regular`, `id~=^ab`, `shared` (containerd's filter
//! grammar, "filters" package, of which BuildKit's fields are used).

use regex::Regex;

use crate::prune::Usage;
use crate::{Error, Result};

/// One condition.
#[derive(Debug, Clone)]
pub struct Filter {
    field: String,
    test: Test,
}

/// What a field must be.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Present,
    Equals(String),
    Differs(String),
    Matches(Regex),
}

impl Test {
    /// Reads `field`, `field==value`, `field!=value` or `field~=pattern`.
    pub(crate) fn parse(text: &str) -> Result<(&str, Self)> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        let test = match rest.get(..2) {
            None if rest.is_empty() => Self::Present,
            Some("==") => Self::Equals(unquoted(&rest[2..])),
            Some("!=") => Self::Differs(unquoted(&rest[2..])),
            Some("~=") => {
                let pattern = Regex::new(&unquoted(&rest[2..]));
                Self::Matches(pattern.map_err(|_| invalid(text, "no such pattern"))?)
            }
            _ => return Err(invalid(text, "expected ==, != or ~=")),
        };
        Ok((field, test))
    }

    /// Whether a field with this value, or without one, is so.
    pub(crate) fn fits(&self, found: Option<&str>) -> bool {
        let text = found.unwrap_or_default();
        match self {
            Self::Present => found.is_some(),
            Self::Equals(wanted) => found.is_some() && text == wanted,
            Self::Differs(wanted) => text != wanted,
            Self::Matches(pattern) => pattern.is_match(text),
        }
    }
}

/// Why a text is no condition.
pub(crate) fn invalid(text: &str, why: &str) -> Error {
    Error::Invalid(format!("invalid filter {text:?}: {why}"))
}

impl Filter {
    /// Reads conditions that stand between commas.
    ///
    /// # Errors
    /// When one isn't a condition, or names a field that records don't have.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Self::new).collect()
    }

    /// Reads one condition, whose value may hold commas.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn new(text: &str) -> Result<Self> {
        let (field, test) = Test::parse(text)?;
        if value(field, None).is_none() {
            return Err(invalid(text, "records of the build cache have no such field"));
        }
        Ok(Self { field: field.to_owned(), test })
    }

    /// Whether a record fulfils it.
    pub(crate) fn fits(&self, usage: &Usage) -> bool {
        let found = value(&self.field, Some(usage)).flatten();
        match &self.test {
            // What is or isn't has no value: yes and no are taken for it.
            Test::Equals(wanted) if is_switch(&self.field) => found.is_some() == is_yes(wanted),
            Test::Differs(wanted) if is_switch(&self.field) => found.is_some() != is_yes(wanted),
            test => test.fits(found.as_deref()),
        }
    }
}

/// A record's field, if it has it; nothing at all when no record has such a field.
fn value(field: &str, usage: Option<&Usage>) -> Option<Option<String>> {
    let of = |value: fn(&Usage) -> Option<String>| Some(usage.and_then(value));
    let if_so = |is_so: bool| is_so.then(String::new);
    match field {
        "id" => of(|usage| Some(usage.id.clone())),
        "parent" | "parents" => of(|usage| usage.parent.clone()),
        "type" => of(|usage| Some(usage.kind.as_str().to_owned())),
        "description" => of(|usage| Some(usage.description.clone())),
        "inuse" => Some(usage.and_then(|usage| if_so(usage.in_use))),
        "shared" => Some(usage.and_then(|usage| if_so(usage.shared))),
        "private" => Some(usage.and_then(|usage| if_so(!usage.shared))),
        "mutable" => Some(usage.and_then(|usage| if_so(usage.is_mutable()))),
        "immutable" => Some(usage.and_then(|usage| if_so(!usage.is_mutable()))),
        // Records carry none, so that a prune by label leaves them alone.
        "label" => Some(None),
        _ => None,
    }
}

fn is_switch(field: &str) -> bool {
    matches!(field, "inuse" | "shared" | "private" | "mutable" | "immutable")
}

fn is_yes(text: &str) -> bool {
    !matches!(text.to_ascii_lowercase().as_str(), "0" | "f" | "false" | "no")
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn fits(text: &str) -> bool {
        let usage = Usage {
            id: "abc123".to_owned(),
            parent: Some("def".to_owned()),
            kind: crate::UsageKind::Regular,
            description: "RUN make".to_owned(),
            size: 1,
            shared: true,
            in_use: false,
            created: Timestamp::UNIX_EPOCH,
            last_used: Timestamp::UNIX_EPOCH,
            uses: 1,
        };
        Filter::parse(text).unwrap().iter().all(|filter| filter.fits(&usage))
    }

    #[test]
    fn every_field_decides() {
        for text in ["id~=^ab", "type==regular,shared", "parent==def", "description~=make", "inuse==false"] {
            assert!(fits(text), "{text}");
        }
        for text in ["id==ab", "type!=regular", "private", "inuse", "mutable", "label==x", "shared==false"] {
            assert!(!fits(text), "{text}");
        }
        assert!(fits("label!=x") && fits("immutable==true") && fits(r#"description=="RUN make""#));
    }

    #[test]
    fn what_no_record_has_is_refused_by_name() {
        for text in ["colour==red", "id=x", "id~=(", "id=="] {
            let read = Filter::parse(text);
            assert!(read.is_err() || text == "id==", "{text}");
        }
        assert!(Filter::parse("colour==red").unwrap_err().to_string().contains("colour"));
    }
}
