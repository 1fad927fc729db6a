//! Variables in instructions, as Docker's own shell lexer expands them: `$x`, `${x:-y}`, `${x:+y}`, `${x:?why}`,
//! `${x#p}`, `${x##p}`, `${x%p}`, `${x%%p}`, `${x/p/r}`, `${x//p/r}`. Quotes go, escapes take effect.

use std::collections::BTreeSet;

use super::pattern;

/// What a single value may grow to: expansion is the one thing in a Dockerfile that multiplies.
const LONGEST: usize = 1 << 20;
/// `${a:-${b:-…}}` within each other.
const DEEPEST: usize = 64;

/// Variables, the later one of a name winning.
pub type Variables = [(String, String)];

/// The value of a variable.
pub fn value<'v>(variables: &'v Variables, name: &str) -> Option<&'v str> {
    variables.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// An expanded text, and the names in it that have no value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text as one.
    pub text: String,
    /// The text as the words it falls into outside of quotes.
    pub words: Vec<String>,
    /// Names that were used and aren't set.
    pub unset: BTreeSet<String>,
}

/// How to expand.
#[derive(Debug, Clone, Copy)]
pub struct Lexer {
    /// The Dockerfile's escape character.
    pub escape: char,
    /// For whom.
    pub purpose: Purpose,
}

/// Who takes an expanded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An instruction: quotes go, escapes take effect.
    Words,
    /// A file, as the content of here-documents: quotes and escapes stay.
    Content,
    /// Those who read a command before its shell does: quotes stay and protect, and what has no value stays as written.
    Readers,
}

impl Lexer {
    /// Expands `text`.
    ///
    /// # Errors
    /// In Docker's words when the text is malformed or `:?` strikes.
    pub fn expand(self, text: &str, variables: &Variables) -> Result<Expanded, String> {
        let mut run = Run {
            lexer: self,
            variables,
            source: text.chars().collect(),
            at: 0,
            depth: 0,
            unset: BTreeSet::new(),
        };
        let mut out = Out::default();
        run.until(None, false, &mut out)?;
        out.end_word();
        Ok(Expanded { text: out.text, words: out.words, unset: run.unset })
    }
}

#[derive(Default)]
struct Out {
    text: String,
    words: Vec<String>,
    word: String,
    in_word: bool,
}

impl Out {
    fn plain(&mut self, c: char) {
        self.text.push(c);
        if c.is_whitespace() {
            self.end_word();
        } else {
            self.word.push(c);
            self.in_word = true;
        }
    }

    fn quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
        self.in_word = true;
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.in_word) {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

struct Run<'a> {
    lexer: Lexer,
    variables: &'a Variables,
    source: Vec<char>,
    at: usize,
    depth: usize,
    unset: BTreeSet<String>,
}

impl Run<'_> {
    fn peek(&self) -> Option<char> {
        self.source.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Expands up to `stop`, which is taken too. `keep_escapes` is for patterns, which have their own.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool, out: &mut Out) -> Result<(), String> {
        loop {
            if out.text.len() > LONGEST {
                return Err(format!("an expanded value is longer than {LONGEST} bytes"));
            }
            let Some(c) = self.peek() else {
                return match stop {
                    None => Ok(()),
                    Some(stop) => {
                        Err(format!("unexpected end of statement while looking for matching {stop}"))
                    }
                };
            };
            self.at += 1;
            match c {
                c if Some(c) == stop => return Ok(()),
                '\'' if self.lexer.purpose != Purpose::Content => self.single_quoted(out)?,
                '"' if self.lexer.purpose != Purpose::Content => self.double_quoted(out)?,
                '$' => self.dollar()?.chars().for_each(|c| out.plain(c)),
                c if c == self.lexer.escape => {
                    let next = self.take();
                    let literal =
                        keep_escapes || (self.lexer.purpose == Purpose::Content && next != Some('$'));
                    if literal {
                        out.quoted(&c.to_string());
                    }
                    if let Some(next) = next {
                        out.quoted(&next.to_string());
                    }
                }
                c => out.plain(c),
            }
        }
    }

    fn single_quoted(&mut self, out: &mut Out) -> Result<(), String> {
        let mut text = self.mark('\'');
        loop {
            match self.take() {
                Some('\'') => break,
                Some(c) => text.push(c),
                None => {
                    return Err("unexpected end of statement while looking for matching single-quote".into());
                }
            }
        }
        text.push_str(&self.mark('\''));
        out.quoted(&text);
        Ok(())
    }

    fn double_quoted(&mut self, out: &mut Out) -> Result<(), String> {
        let mut text = self.mark('"');
        loop {
            match self.take() {
                Some('"') => break,
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.lexer.escape => match self.take() {
                    Some(next) if next == '"' || next == '$' || next == self.lexer.escape => text.push(next),
                    Some(next) => text.extend([c, next]),
                    None => text.push(c),
                },
                Some(c) => text.push(c),
                None => {
                    return Err("unexpected end of statement while looking for matching double-quote".into());
                }
            }
        }
        text.push_str(&self.mark('"'));
        out.quoted(&text);
        Ok(())
    }

    /// What stays of a quotation mark.
    fn mark(&self, mark: char) -> String {
        if self.lexer.purpose == Purpose::Readers { mark.to_string() } else { String::new() }
    }

    /// What stands after a `$`.
    fn dollar(&mut self) -> Result<String, String> {
        let start = self.at;
        let is_left = self.lexer.purpose == Purpose::Readers && !self.names_a_value();
        let expanded = self.value();
        if is_left {
            return Ok(std::iter::once(&'$').chain(&self.source[start..self.at]).collect());
        }
        expanded
    }

    /// Whether what stands after a `$` names a variable that has a value.
    fn names_a_value(&mut self) -> bool {
        let start = self.at;
        self.at += usize::from(self.peek() == Some('{'));
        let name = self.name();
        self.at = start;
        value(self.variables, &name).is_some()
    }

    fn value(&mut self) -> Result<String, String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { self.lookup(&name).unwrap_or_default() });
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("variables are nested too deeply".into());
        }
        let expanded = self.braced();
        self.depth -= 1;
        expanded
    }

    fn braced(&mut self) -> Result<String, String> {
        let name = self.name();
        if name.is_empty() {
            return Err("syntax error: bad substitution".into());
        }
        let Some(c) = self.take() else { return Err("syntax error: missing '}'".into()) };
        let (checks_empty, operator) = match c {
            '}' => return Ok(self.lookup(&name).unwrap_or_default()),
            ':' => (true, self.take().ok_or("syntax error: missing ':' in substitution")?),
            other => (false, other),
        };
        match operator {
            '+' | '-' | '?' => self.conditional(&name, operator, checks_empty),
            '#' | '%' if !checks_empty => self.trimmed(&name, operator),
            '/' if !checks_empty => self.replaced(&name),
            other if checks_empty => Err(format!("unsupported modifier (:{other}) in substitution")),
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn conditional(&mut self, name: &str, operator: char, checks_empty: bool) -> Result<String, String> {
        let found = value(self.variables, name).filter(|value| !(checks_empty && value.is_empty()));
        let found = found.map(str::to_owned);
        let mut word = Out::default();
        // Names that only the unused branch mentions aren't missed.
        let missed = self.unset.clone();
        self.until(Some('}'), false, &mut word)?;
        let uses_word = if operator == '+' { found.is_some() } else { found.is_none() };
        if !uses_word {
            self.unset = missed;
        }
        match (operator, found) {
            ('+', Some(_)) | ('-', None) => Ok(word.text),
            ('+', None) => Ok(String::new()),
            (_, Some(found)) => Ok(found),
            (_, None) => {
                let why =
                    if word.text.is_empty() { "is not allowed to be unset".to_owned() } else { word.text };
                Err(format!("{name}: {why}"))
            }
        }
    }

    fn trimmed(&mut self, name: &str, operator: char) -> Result<String, String> {
        let longest = self.peek() == Some(operator);
        if longest {
            self.at += 1;
        }
        let mut glob = Out::default();
        self.until(Some('}'), true, &mut glob)?;
        let found = self.lookup(name).unwrap_or_default();
        pattern::trim(&found, &glob.text, self.lexer.escape, operator == '#', longest)
    }

    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.at += 1;
        }
        let (mut glob, mut replacement) = (Out::default(), Out::default());
        self.until(Some('/'), true, &mut glob)?;
        self.until(Some('}'), false, &mut replacement)?;
        let found = self.lookup(name).unwrap_or_default();
        pattern::replace(&found, &glob.text, self.lexer.escape, &replacement.text, all)
    }

    /// The variable's name here; one character for the shell's special parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let fits = c == '_' || c.is_ascii_alphabetic() || (c.is_ascii_digit() && !name.is_empty());
            if !fits {
                break;
            }
            name.push(c);
            self.at += 1;
        }
        if name.is_empty()
            && let Some(c) = self.peek().filter(|c| c.is_ascii_digit() || matches!(c, '@' | '*' | '#'))
        {
            self.at += 1;
            name.push(c);
        }
        name
    }

    fn lookup(&mut self, name: &str) -> Option<String> {
        let found = value(self.variables, name);
        if found.is_none() {
            self.unset.insert(name.to_owned());
        }
        found.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let variables: Vec<(String, String)> =
            [("a", "b"), ("path", "foo/bar/baz"), ("empty", ""), ("two", "x y")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        Ok(Lexer { escape: '\\', purpose: Purpose::Words }.expand(text, &variables)?.text)
    }

    #[test]
    fn every_modifier_does_what_a_shell_does() {
        for (text, expected) in [
            ("$a", "b"),
            ("${a}c", "bc"),
            ("'$a'", "$a"),
            ("\"$a\"", "b"),
            ("\\$a", "$a"),
            ("${no:-d}", "d"),
            ("${no-d}", "d"),
            ("${empty:-d}", "d"),
            ("${empty-d}", ""),
            ("${a:+d}", "d"),
            ("${empty:+d}", ""),
            ("${empty+d}", "d"),
            ("${no:-${a}}", "b"),
            ("${path#*/}", "bar/baz"),
            ("${path##*/}", "baz"),
            ("${path%/*}", "foo/bar"),
            ("${path%%/*}", "foo"),
            ("${path/ba/xx}", "foo/xxr/baz"),
            ("${path//ba/xx}", "foo/xxr/xxz"),
            ("${path/o*b/}", "faz"),
            ("$", "$"),
            ("$no.", "."),
        ] {
            assert_eq!(expand(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn readers_see_what_has_a_value_and_the_rest_as_it_is_written() {
        let lexer = Lexer { escape: '\\', purpose: Purpose::Readers };
        let shown = |text| lexer.expand(text, &[("a".to_owned(), "b".to_owned())]).unwrap().text;
        assert_eq!(shown(r#"RUN echo "it's $a" '$a' ${a}c $1"#), r#"RUN echo "it's b" '$a' bc $1"#);
        for left in ["$x", "${x}", "${x:-y}", "${x%.*}", "${x//a/b}", "${x:?why}", "$"] {
            assert_eq!(shown(left), left);
        }
    }

    #[test]
    fn a_missing_value_that_is_required_is_an_error_in_dockers_words() {
        assert_eq!(expand("${no:?need it}").unwrap_err(), "no: need it");
        assert_eq!(expand("${no?}").unwrap_err(), "no: is not allowed to be unset");
        assert!(expand("${a").is_err() && expand("${a!x}").is_err() && expand("'x").is_err());
    }

    #[test]
    fn words_split_outside_of_quotes_only() {
        let variables = vec![("two".to_owned(), "x y".to_owned())];
        let lexer = Lexer { escape: '\\', purpose: Purpose::Words };
        assert_eq!(lexer.expand("$two \"$two\" z\\ z", &variables).unwrap().words, ["x", "y", "x y", "z z"]);
    }
}
