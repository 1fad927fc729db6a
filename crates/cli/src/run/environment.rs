//! `-e`, `--env-file` and labels: `NAME=value`, or `NAME` alone for the client's own value.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The variables of all files, then those of the command line, as a container gets them.
pub(crate) fn gather(given: &[String], files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for file in files {
        all.extend(read(file)?);
    }
    for variable in given {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(Failure::new(format!("invalid environment variable: {variable}")));
        }
        all.extend(resolve(variable));
    }
    Ok(all)
}

/// `NAME=value` as it is, `NAME` with our value; none when we have none.
fn resolve(variable: &str) -> Option<String> {
    if variable.contains('=') {
        return Some(variable.to_owned());
    }
    std::env::var(variable).ok().map(|value| format!("{variable}={value}"))
}

/// A file's lines; comments and empty ones are left out.
pub(crate) fn read(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let reason = if missing { "no such file or directory".to_owned() } else { error.to_string() };
        Failure::new(format!("open {}: {reason}", path.display()))
    })?;
    let mut variables = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::new(format!("no variable name on line '{line}'")));
        }
        if name.contains([' ', '\t']) {
            return Err(Failure::new(format!("variable '{name}' contains whitespaces")));
        }
        variables.extend(resolve(line));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_first_and_comments_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, "# no\nA=1\n\n  B=two words\n").unwrap();
        let all = gather(&["C=3".to_owned()], &[file]).unwrap();
        assert_eq!(all, ["A=1", "B=two words", "C=3"]);
    }

    #[test]
    fn an_unset_variable_is_left_out() {
        assert!(gather(&["BERTH_SURELY_NOT_SET".to_owned()], &[]).unwrap().is_empty());
        assert!(gather(&["=x".to_owned()], &[]).is_err());
    }
}
