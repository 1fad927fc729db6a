//! Here-documents: `RUN <<EOF`, `COPY <<file /dest`.

use super::lines::split_word;

/// One here-document of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, and the name of the file it becomes.
    pub name: String,
    /// The word as it stands in the instruction, quotes and all.
    pub word: String,
    /// Whether variables in it are expanded: not when its word was quoted.
    pub expand: bool,
    /// Whether leading tabs are dropped (`<<-`).
    pub chomp: bool,
    /// Its lines.
    pub content: String,
}

/// Whether an instruction may have here-documents.
pub(super) fn allowed(keyword: &str, rest: &str) -> bool {
    let takes = |word: &str| matches!(word.to_ascii_uppercase().as_str(), "ADD" | "COPY" | "RUN");
    takes(keyword) || (keyword.eq_ignore_ascii_case("ONBUILD") && takes(split_word(rest).0))
}

/// The here-documents that a line announces, not yet read.
pub(super) fn announced(rest: &str, escape: char) -> Vec<Heredoc> {
    raw_words(rest, escape).iter().filter_map(|word| parse(word)).collect()
}

/// `<<EOF`, `<<-EOF`, `3<<"EOF"`.
pub(super) fn parse(word: &str) -> Option<Heredoc> {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let after = digits.strip_prefix("<<")?;
    let (chomp, quoted) = match after.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, after),
    };
    if quoted.is_empty() || quoted.contains('<') {
        return None;
    }
    let name: String = quoted.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    if name.is_empty() || name.contains(['/', '\0']) || matches!(name.as_str(), "." | "..") {
        return None;
    }
    let expand = name == quoted;
    Some(Heredoc { name, word: word.to_owned(), expand, chomp, content: String::new() })
}

/// Words as a shell splits them, quotes and escapes left in.
pub(super) fn raw_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match quote {
            _ if c == escape && quote != Some('\'') => {
                word.push(c);
                word.extend(characters.next());
            }
            Some(open) => {
                word.push(c);
                if c == open {
                    quote = None;
                }
            }
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            None => {
                if matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
