//! `--filter key=value`, as lists and events take them: values of one key are alternatives, keys add up.

use std::collections::BTreeMap;

use berth_runtime::go_duration;
use jiff::{SignedDuration, Timestamp};
use regex::RegexBuilder;

use crate::Error;

/// Bytes that a compiled expression may take.
const EXPRESSION_LARGEST: usize = 256 << 10;

/// Parsed filters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Filters from key and values.
    pub fn new(filters: BTreeMap<String, Vec<String>>) -> Self {
        Self(filters)
    }

    /// Filters by `value` alone, where `key` is concerned.
    pub fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), vec![value.to_owned()]);
    }

    /// The values of `key`; none when it isn't filtered by.
    pub fn values(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).filter(|values| !values.is_empty()).map(Vec::as_slice)
    }

    /// Whether `key` isn't filtered by, or one of its values is accepted by `matches`.
    pub fn any(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        self.values(key).is_none_or(|values| values.iter().any(|value| matches(value)))
    }

    /// Whether `key` isn't filtered by, or `text` is one of its values, or has one in it as a regular expression.
    pub(crate) fn finds(&self, key: &str, text: &str) -> bool {
        self.any(key, |wanted| found_in(text, wanted))
    }

    /// Whether every `label` value (`name` or `name=value`) is among `labels`.
    pub fn labels_match(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").is_none_or(|wanted| wanted.iter().all(has))
            && self.values("label!").is_none_or(|unwanted| !unwanted.iter().any(has))
    }

    /// The moment of `until`: a time, seconds since 1970, or a time span before now. The latest that is given.
    ///
    /// # Errors
    /// When it is none of these, or given twice.
    pub fn until(&self) -> Result<Option<Timestamp>, Error> {
        let text = match self.values("until") {
            None => return Ok(None),
            Some([text]) => text,
            Some(_) => return Err(Error::InvalidRequest("more than one until filter specified".to_owned())),
        };
        let before = |nanoseconds| Timestamp::now().checked_sub(SignedDuration::from_nanos(nanoseconds)).ok();
        let at = text.parse().ok();
        let at = at.or_else(|| Timestamp::from_second(text.parse().ok()?).ok());
        let at = at.or_else(|| before(go_duration::parse(text)?));
        at.map(Some).ok_or_else(|| {
            Error::InvalidRequest(format!("failed to parse value as time or duration: {text:?}"))
        })
    }

    /// Refuses keys that aren't among `known`, in Docker's words.
    pub(crate) fn check(&self, known: &[&str]) -> Result<(), Error> {
        match self.unknown(known) {
            Some(key) => Err(Error::InvalidRequest(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// The first key that isn't among `known`.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|key| !known.contains(key))
    }

    /// A yes-or-no filter: none when absent.
    ///
    /// # Errors
    /// The value, when it is neither yes nor no.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.values(key).and_then(|values| values.first()) else {
            return Ok(None);
        };
        parse_bool(value).map(Some).ok_or_else(|| value.clone())
    }
}

/// Whether `text` is `wanted` or has it in it as a regular expression. What isn't one is only compared.
pub(crate) fn found_in(text: &str, wanted: &str) -> bool {
    // A hostile expression may be long to compile: its size is limited.
    let expression = RegexBuilder::new(wanted).size_limit(EXPRESSION_LARGEST).build();
    text == wanted || expression.is_ok_and(|expression| expression.is_match(text))
}

/// As Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(key: &str, values: &[&str]) -> Filters {
        Filters::new(BTreeMap::from([(
            key.to_owned(),
            values.iter().map(|&value| value.to_owned()).collect(),
        )]))
    }

    #[test]
    fn labels_add_up_and_values_are_optional() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        assert!(filters("label", &["a=1", "b"]).labels_match(&labels));
        assert!(!filters("label", &["a=1", "c"]).labels_match(&labels));
    }

    #[test]
    fn a_label_may_be_unwanted() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert!(!filters("label!", &["a"]).labels_match(&labels));
        assert!(filters("label!", &["a=2"]).labels_match(&labels));
    }

    #[test]
    fn a_name_is_found_by_its_part_or_an_expression() {
        let finds = |value: &str| filters("name", &[value]).finds("name", "app_web");
        assert!(finds("web") && finds("^app_web$") && finds("a.p_w[a-f]+"));
        assert!(!finds("^web") && !finds("app_web2"));
        assert!(found_in("a(b", "a(b") && !found_in("a(bc", "a(b"));
    }

    #[test]
    fn until_is_a_moment_or_a_span() {
        let until = |text| filters("until", &[text]).until().unwrap().unwrap();
        assert_eq!(until("1700000000").as_second(), 1_700_000_000);
        assert_eq!(until("2023-11-14T22:13:20Z").as_second(), 1_700_000_000);
        let hour = Timestamp::now().as_second() - until("1h").as_second();
        assert!((3600..3605).contains(&hour));
        assert!(filters("until", &["soon"]).until().is_err());
    }

    #[test]
    fn values_of_one_key_are_alternatives() {
        assert!(filters("status", &["exited", "running"]).any("status", |value| value == "running"));
        assert!(!filters("status", &["exited"]).any("status", |value| value == "running"));
        assert!(filters("status", &["exited"]).any("name", |_| false));
    }
}
