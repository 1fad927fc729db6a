//! From text to nodes: directives, comments, continued lines, here-documents. What a node means is decided later.

use super::heredoc::{self, Heredoc};
use super::{Directives, Place, SyntaxError};

/// The longest Dockerfile that is read, in bytes.
pub const LONGEST: usize = 16 << 20;
/// More instructions than anyone writes, and few enough to keep.
const MOST_NODES: usize = 20_000;

/// One instruction as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The first word, as written.
    pub keyword: String,
    /// What follows it, continued lines joined.
    pub rest: String,
    /// Its here-documents.
    pub heredocs: Vec<Heredoc>,
    /// The comment on the line above, if it says something.
    pub comment: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// What the text holds, and where a continued instruction has an empty line.
pub(super) struct Lines {
    pub(super) directives: Directives,
    pub(super) nodes: Vec<Node>,
    pub(super) empty_continuations: Vec<Place>,
}

/// Splits a Dockerfile into its instructions.
pub(super) fn split(text: &str) -> Result<Lines, SyntaxError> {
    if text.len() > LONGEST {
        return Err(SyntaxError::new(1, format!("the Dockerfile is longer than {LONGEST} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let all: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let (directives, at) = directives(&all)?;
    let mut reader = Reader { lines: all, at, escape: directives.escape, empty_continuations: Vec::new() };
    let mut nodes = Vec::new();
    while let Some(node) = reader.next_node()? {
        nodes.push(node);
        if nodes.len() > MOST_NODES {
            return Err(SyntaxError::new(reader.at, format!("more than {MOST_NODES} instructions")));
        }
    }
    Ok(Lines { directives, nodes, empty_continuations: reader.empty_continuations })
}

/// `# escape=`, `# syntax=` and `# check=` stand before everything else; also, how many lines they are.
fn directives(lines: &[&str]) -> Result<(Directives, usize), SyntaxError> {
    let mut found = Directives::default();
    let mut seen: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((name, value)) = directive(line) else { break };
        if seen.contains(&name) {
            return Err(SyntaxError::new(index + 1, format!("only one {name} parser directive can be used")));
        }
        match name.as_str() {
            "escape" => {
                found.escape = match value.as_str() {
                    "\\" => '\\',
                    "`" => '`',
                    other => {
                        let message = format!("invalid escape token '{other}' does not match ` or \\");
                        return Err(SyntaxError::new(index + 1, message));
                    }
                }
            }
            "syntax" => found.syntax = Some(value),
            "check" => found.check = Some(value),
            _ => break,
        }
        seen.push(name);
    }
    Ok((found, seen.len()))
}

fn directive(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| (name, value.trim().to_owned()))
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    escape: char,
    empty_continuations: Vec<Place>,
}

impl Reader<'_> {
    fn next_node(&mut self) -> Result<Option<Node>, SyntaxError> {
        let mut comment = None;
        while let Some(line) = self.lines.get(self.at).filter(|line| is_blank(line) || is_comment(line)) {
            comment = line.trim().strip_prefix('#').map(str::trim).filter(|comment| !comment.is_empty());
            self.at += 1;
        }
        let comment = comment.map(str::to_owned);
        let Some(first) = self.lines.get(self.at) else { return Ok(None) };
        let start = self.at + 1;
        let column = first.len() - first.trim_start().len() + 1;
        let text = self.logical_line(start, column);
        let (keyword, rest) = split_word(text.trim());
        let mut place = Place { line: start, column, end_line: self.at };
        let heredocs = if heredoc::allowed(keyword, rest) {
            let mut heredocs = heredoc::announced(rest, self.escape);
            for heredoc in &mut heredocs {
                self.read_body(heredoc, start)?;
            }
            heredocs
        } else {
            Vec::new()
        };
        place.end_line = self.at;
        Ok(Some(Node { keyword: keyword.to_owned(), rest: rest.to_owned(), heredocs, comment, place }))
    }

    /// Joins a line with those it continues on. Comments and empty lines in between vanish.
    fn logical_line(&mut self, start: usize, column: usize) -> String {
        let mut text = String::new();
        let mut has_empty = false;
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            let continues = !text.is_empty() || self.at > start;
            if continues && (is_comment(line) || is_blank(line)) {
                has_empty |= is_blank(line);
                continue;
            }
            let (part, goes_on) = self.without_continuation(line);
            text.push_str(part);
            if !goes_on {
                break;
            }
        }
        if has_empty {
            self.empty_continuations.push(Place { line: start, column, end_line: self.at });
        }
        text
    }

    /// The line without a trailing escape character, and whether it had one.
    fn without_continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let trimmed = line.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(self.escape) {
            // A doubled one is a character of its own.
            Some(before) if !before.ends_with(self.escape) => (before, true),
            _ => (line, false),
        }
    }

    fn read_body(&mut self, heredoc: &mut Heredoc, start: usize) -> Result<(), SyntaxError> {
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            let line = if heredoc.chomp { line.trim_start_matches('\t') } else { line };
            if line == heredoc.name {
                return Ok(());
            }
            heredoc.content.push_str(line);
            heredoc.content.push('\n');
        }
        Err(SyntaxError::new(start, "unterminated heredoc".to_owned()))
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The first word and what follows it.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> Vec<(String, String, usize, usize)> {
        let nodes = split(text).unwrap().nodes;
        nodes.into_iter().map(|n| (n.keyword, n.rest, n.place.line, n.place.end_line)).collect()
    }

    fn node(keyword: &str, rest: &str, line: usize, end: usize) -> (String, String, usize, usize) {
        (keyword.to_owned(), rest.to_owned(), line, end)
    }

    #[test]
    fn continued_lines_lose_comments_and_keep_their_numbers() {
        let text = "FROM x\n# c\nRUN a && \\\n  # inside\n  b\n";
        assert_eq!(nodes(text), [node("FROM", "x", 1, 1), node("RUN", "a &&   b", 3, 5)]);
    }

    #[test]
    fn the_escape_directive_changes_what_continues() {
        let text = "# escape=`\nFROM x\nRUN dir c:\\\nRUN a `\n b\n";
        assert_eq!(
            nodes(text),
            [node("FROM", "x", 2, 2), node("RUN", "dir c:\\", 3, 3), node("RUN", "a  b", 4, 5)]
        );
    }

    #[test]
    fn a_directive_after_a_comment_is_a_comment() {
        assert_eq!(split("# hello\n# escape=`\nFROM x\n").unwrap().directives.escape, '\\');
        assert!(split("# escape=x\nFROM x\n").is_err());
    }

    #[test]
    fn here_documents_end_at_their_word() {
        let nodes = split("RUN <<A <<-'B'\n one\nA\n\ttwo\n\tB\nCMD x\n").unwrap().nodes;
        assert_eq!(nodes[0].heredocs[0].content, " one\n");
        assert_eq!(nodes[0].heredocs[1].content, "two\n");
        assert!(!nodes[0].heredocs[1].expand && nodes[0].heredocs[0].expand);
        assert_eq!(nodes[1].keyword, "CMD");
        assert_eq!(split("FROM x\nRUN <<A\n one\n").err().unwrap().to_string(), "unterminated heredoc");
    }
}
