//! `.gitmodules`: which repositories lie in which folders (gitmodules(5); of git's configuration syntax what such files
//! use).

use std::collections::BTreeMap;

use super::object::{self, Kind};
use super::pack::Pack;
use crate::Result;
use crate::beneath::clean;

/// The addresses of submodules, by the folders they lie in, as a commit's root says.
pub(super) fn declared(pack: &Pack, root: &[u8]) -> Result<BTreeMap<String, String>> {
    let file = object::entries(root)?.into_iter().find(|entry| entry.name == ".gitmodules");
    match file.filter(|entry| matches!(entry.kind, Kind::File { .. })) {
        Some(file) => Ok(parse(&String::from_utf8_lossy(&pack.read(&file.id)?.1))),
        None => Ok(BTreeMap::new()),
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let (mut modules, mut path, mut url) = (BTreeMap::new(), None, None);
    for line in text.lines().map(str::trim).chain(["["]) {
        if line.starts_with('[') {
            if let (Some(path), Some(url)) = (path.take(), url.take()) {
                modules.insert(path, url);
            }
            (path, url) = (None, None);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => path = Some(clean(value)),
            "url" => url = Some(value.to_owned()),
            _ => {}
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_addresses() {
        let text = "[submodule \"a\"]\n\tpath = libs/a\n\turl = https://host/a.git\n; x\n\
                    [submodule \"b\"]\n\turl = \"../b.git\"\n\tbranch = main\n\tPath=../../b\n[submodule \"c\"]\npath=c\n";
        let modules = parse(text);
        assert_eq!(modules.len(), 2);
        assert_eq!(modules["libs/a"], "https://host/a.git");
        assert_eq!(modules["b"], "../b.git");
    }
}
