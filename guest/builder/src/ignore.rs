//! `.dockerignore`: which files of a context don't count.

use berth_images::Glob;

/// The rules of one ignore file, or the patterns of `--exclude`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignore {
    rules: Vec<(Glob, bool)>,
}

impl Ignore {
    /// Reads an ignore file: one pattern per line, `#` comments, `!` exceptions; the last rule that matches decides.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self::of(lines)
    }

    /// Rules of single patterns.
    pub(crate) fn of<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, String> {
        let mut rules = Vec::new();
        for pattern in patterns {
            let (pattern, keeps) = match pattern.strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (pattern, false),
            };
            if keeps && pattern.is_empty() {
                return Err("illegal exclusion pattern: \"!\"".into());
            }
            let cleaned = crate::beneath::clean(pattern);
            if !cleaned.is_empty() {
                rules.push((Glob::parse(&cleaned)?, keeps));
            }
        }
        Ok(Self { rules })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether something beneath an ignored folder may still count.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|(_, keeps)| *keeps)
    }

    /// Whether a path, relative to the context, is left out: by itself or with a folder above it.
    pub(crate) fn ignores(&self, path: &str) -> bool {
        let mut ignored = false;
        for (glob, keeps) in &self.rules {
            if *keeps != ignored {
                continue;
            }
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            if ends.into_iter().any(|end| glob.matches(&path[..end])) {
                ignored = !keeps;
            }
        }
        ignored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_matching_rule_decides() {
        let ignore = Ignore::parse("# c\n*.log\n/docs\n!docs/keep.md\n**/tmp\nsecret?\n").unwrap();
        for (path, expected) in [
            ("a.log", true),
            ("b/a.log", false),
            ("docs", true),
            ("docs/x", true),
            ("docs/keep.md", false),
            ("a/b/tmp/c", true),
            ("tmp", true),
            ("secret1", true),
            ("secret", false),
        ] {
            assert_eq!(ignore.ignores(path), expected, "{path}");
        }
    }

    #[test]
    fn everything_but_one_is_a_common_file() {
        let ignore = Ignore::parse("*\n!src\n!src/**\nsrc/*.o").unwrap();
        assert!(ignore.ignores("README") && !ignore.ignores("src/a.c") && ignore.ignores("src/a.o"));
    }
}
