//! What somebody may have meant.

/// The first of the words that are nearest to `word`, at most two letters away; none when one is the word itself.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = known.map(|known| (distance(known, word), known)).filter(|(far, _)| *far <= 2);
    near.min_by_key(|(far, _)| *far).filter(|(far, _)| *far > 0).map(|(_, known)| known)
}

/// How many letters must change, at most 3.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return 3;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_word_is_found_unless_it_is_the_word() {
        let of = |word| nearest(word, ["FOO", "FOOD", "BAR"].into_iter());
        assert_eq!([of("FOOO"), of("BAT"), of("QUX"), of("FOO")], [Some("FOO"), Some("BAR"), None, None]);
    }
}
