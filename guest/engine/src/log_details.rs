//! What `docker logs --details` tells of a container: the labels and variables that its log options name.

use regex::Regex;

use crate::Error;
use crate::container::record::Record;

/// The details of a container, by name.
pub(crate) fn of(record: &Record) -> Vec<(String, String)> {
    let option = |key: &str| record.host_config.log_config.config.get(key).map(String::as_str);
    let variables = record.config.env.iter().filter_map(|entry| entry.split_once('='));
    let labels = record.config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut details = Vec::new();
    details.extend(chosen(labels, option("labels"), option("labels-regex")));
    details.extend(chosen(variables, option("env"), option("env-regex")));
    if let Some(tag) = option("tag").filter(|tag| !tag.is_empty()) {
        details.push(("tag".to_owned(), expand(tag, record)));
    }
    details.sort();
    details.dedup_by(|a, b| a.0 == b.0);
    details
}

fn chosen<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    names: Option<&str>,
    pattern: Option<&str>,
) -> Vec<(String, String)> {
    let names: Vec<&str> = names.unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect();
    let pattern = pattern.filter(|text| !text.is_empty()).and_then(|text| Regex::new(text).ok());
    let wanted =
        |name: &str| names.contains(&name) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name));
    all.filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Docker's template fields for a tag.
fn expand(tag: &str, record: &Record) -> String {
    let image = record.image.trim_start_matches("sha256:");
    let fields = [
        ("{{.ID}}", record.short_id()),
        ("{{.FullID}}", &record.id),
        ("{{.Name}}", &record.name),
        ("{{.ImageID}}", image.get(..12).unwrap_or(image)),
        ("{{.ImageFullID}}", &record.image),
        ("{{.ImageName}}", &record.config.image),
        ("{{.DaemonName}}", "docker"),
    ];
    fields.into_iter().fold(tag.to_owned(), |text, (field, value)| text.replace(field, value))
}

/// Refuses patterns that aren't any.
pub(crate) fn check(options: &std::collections::BTreeMap<String, String>) -> Result<(), Error> {
    for key in ["labels-regex", "env-regex"] {
        if let Some(Err(error)) = options.get(key).map(|text| Regex::new(text)) {
            return Err(Error::InvalidRequest(format!("invalid log opt {key}: {error}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::Config;
    use crate::container::host_config::HostConfig;

    #[test]
    fn options_choose_labels_and_variables() {
        let mut config = Config { env: vec!["A=1".to_owned(), "B=2".to_owned()], ..Config::default() };
        config.labels.insert("team".to_owned(), "x".to_owned());
        let mut host = HostConfig::default();
        for (key, value) in [("labels", "team,none"), ("env-regex", "^A"), ("tag", "{{.Name}}/{{.ID}}")] {
            host.log_config.config.insert(key.to_owned(), value.to_owned());
        }
        let id = "0123456789abcdef".to_owned();
        let record = Record::new(id, "box".to_owned(), "sha256:1".to_owned(), config, host);
        let found: Vec<String> = of(&record).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(found, ["A=1", "tag=box/0123456789ab", "team=x"]);
    }
}
