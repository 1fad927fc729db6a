//! `NAME=value NAME="other value"`, and the old `NAME value`, of ENV, LABEL and ARG.

use super::heredoc::raw_words;

/// Pairs with quotes and variables still in them, and whether they are in the old form.
pub(super) fn parse(
    keyword: &str,
    text: &str,
    escape: char,
) -> Result<(Vec<(String, String)>, bool), String> {
    let words = raw_words(text, escape);
    let Some(first) = words.first() else { return Err(format!("{keyword} requires at least one argument")) };
    if !first.contains('=') {
        let (name, value) = super::lines::split_word(text);
        if value.is_empty() {
            return Err(format!("{keyword} must have two arguments"));
        }
        return Ok((vec![(name.to_owned(), value.to_owned())], true));
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(format!("{keyword} names can not be blank")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")),
    };
    Ok((words.iter().map(pair).collect::<Result<_, _>>()?, false))
}

/// ARG's names with the defaults they may have.
pub(super) fn arguments(text: &str, escape: char) -> Result<Vec<(String, Option<String>)>, String> {
    let words = raw_words(text, escape);
    if words.is_empty() {
        return Err("ARG requires at least one argument".into());
    }
    let argument = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err("ARG names can not be blank".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word.clone(), None)),
    };
    words.iter().map(argument).collect()
}
