//! Shell patterns on the values of variables: `*`, `?` and escapes, in time bounded by length times pattern.

/// Values longer than this, in characters, aren't searched: the work grows with the square of it.
const LONGEST: usize = 8 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
}

/// `text` without the shortest or longest prefix (or suffix) that matches.
pub(super) fn trim(
    text: &str,
    glob: &str,
    escape: char,
    prefix: bool,
    longest: bool,
) -> Result<String, String> {
    let mut parts = parts(glob, escape);
    let mut characters = short(text)?;
    if !prefix {
        parts.reverse();
        characters.reverse();
    }
    let lengths = matches(&parts, &characters);
    let cut = if longest { lengths.last() } else { lengths.first() };
    let mut rest = characters.split_off(cut.copied().unwrap_or(0));
    if !prefix {
        rest.reverse();
    }
    Ok(rest.into_iter().collect())
}

/// `text` with the first or every match replaced, each as long as it can be.
pub(super) fn replace(text: &str, glob: &str, escape: char, by: &str, all: bool) -> Result<String, String> {
    let parts = parts(glob, escape);
    let characters = short(text)?;
    let (mut out, mut at, mut done) = (String::new(), 0, false);
    while at < characters.len() {
        let length = if done && !all { None } else { matches(&parts, &characters[at..]).last().copied() };
        match length.filter(|length| *length > 0) {
            Some(length) => {
                out.push_str(by);
                at += length;
                done = true;
            }
            None => {
                out.push(characters[at]);
                at += 1;
            }
        }
    }
    Ok(out)
}

fn short(text: &str) -> Result<Vec<char>, String> {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > LONGEST {
        return Err(format!("a value longer than {LONGEST} characters can't be searched for a pattern"));
    }
    Ok(characters)
}

fn parts(glob: &str, escape: char) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut characters = glob.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' if parts.last() == Some(&Part::Any) => {}
            '*' => parts.push(Part::Any),
            '?' => parts.push(Part::One),
            c if c == escape => parts.extend(characters.next().map(Part::Literal)),
            c => parts.push(Part::Literal(c)),
        }
    }
    parts
}

/// The lengths of all prefixes of `text` that match, in order.
fn matches(parts: &[Part], text: &[char]) -> Vec<usize> {
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    skip_any(parts, &mut reached);
    let mut lengths = Vec::new();
    for length in 0..=text.len() {
        if reached[parts.len()] {
            lengths.push(length);
        }
        let Some(c) = text.get(length) else { break };
        let mut next = vec![false; parts.len() + 1];
        for (index, part) in parts.iter().enumerate().filter(|(index, _)| reached[*index]) {
            match part {
                Part::Any => next[index] = true,
                Part::One => next[index + 1] = true,
                Part::Literal(wanted) if wanted == c => next[index + 1] = true,
                Part::Literal(_) => {}
            }
        }
        skip_any(parts, &mut next);
        reached = next;
        if !reached.contains(&true) {
            break;
        }
    }
    lengths
}

/// A `*` may match nothing.
fn skip_any(parts: &[Part], reached: &mut [bool]) {
    for (index, part) in parts.iter().enumerate() {
        if reached[index] && *part == Part::Any {
            reached[index + 1] = true;
        }
    }
}
