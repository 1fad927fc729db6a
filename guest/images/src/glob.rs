//! Path patterns: `*`, `?`, `[a-z]` within a name, `**` over folders. In time bounded by path times pattern.

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**/`: nothing, or anything that ends in a slash.
    Folders,
    /// `**` at the end: anything.
    Rest,
    /// `*`
    Name,
    /// `?`
    One,
    /// `[…]`, and whether it is negated.
    Set(Vec<(char, char)>, bool),
    Literal(char),
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A sentence that quotes the pattern, when a set doesn't end or nothing follows a backslash.
    pub fn parse(text: &str) -> Result<Self, String> {
        let characters: Vec<char> = text.chars().collect();
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(&c) = characters.get(at) {
            at += 1;
            match c {
                '*' if characters.get(at) == Some(&'*') => {
                    at += 1;
                    if characters.get(at) == Some(&'/') {
                        at += 1;
                        parts.push(Part::Folders);
                    } else if at == characters.len() {
                        parts.push(Part::Rest);
                    } else {
                        parts.push(Part::Folders);
                    }
                }
                '*' => parts.push(Part::Name),
                '?' => parts.push(Part::One),
                '\\' => {
                    let next =
                        characters.get(at).ok_or_else(|| format!("syntax error in pattern: {text}"))?;
                    parts.push(Part::Literal(*next));
                    at += 1;
                }
                '[' => parts.push(
                    set(&characters, &mut at).ok_or_else(|| format!("syntax error in pattern: {text}"))?,
                ),
                c => parts.push(Part::Literal(c)),
            }
        }
        Ok(Self(parts))
    }

    /// Whether all of `path` matches.
    pub fn matches(&self, path: &str) -> bool {
        let mut states = vec![false; self.0.len() + 1];
        self.enter(&mut states, 0);
        for c in path.chars() {
            let mut next = vec![false; self.0.len() + 1];
            for at in (0..self.0.len()).filter(|at| states[*at]) {
                match &self.0[at] {
                    Part::Folders => {
                        next[at] = true;
                        if c == '/' {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    Part::Rest => self.enter(&mut next, at),
                    Part::Name if c != '/' => self.enter(&mut next, at),
                    Part::One if c != '/' => self.enter(&mut next, at + 1),
                    Part::Set(ranges, negated) if c != '/' && in_set(ranges, c) != *negated => {
                        self.enter(&mut next, at + 1);
                    }
                    Part::Literal(wanted) if *wanted == c => self.enter(&mut next, at + 1),
                    _ => {}
                }
            }
            states = next;
        }
        states[self.0.len()]
    }

    fn enter(&self, states: &mut [bool], mut at: usize) {
        loop {
            states[at] = true;
            match self.0.get(at) {
                Some(Part::Folders | Part::Rest | Part::Name) => at += 1,
                _ => return,
            }
        }
    }
}

fn in_set(ranges: &[(char, char)], c: char) -> bool {
    ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
}

fn set(characters: &[char], at: &mut usize) -> Option<Part> {
    let negated = characters.get(*at) == Some(&'^');
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let mut low = *characters.get(*at)?;
        *at += 1;
        if low == ']' && !ranges.is_empty() {
            return Some(Part::Set(ranges, negated));
        }
        if low == '\\' {
            low = *characters.get(*at)?;
            *at += 1;
        }
        let high = if characters.get(*at) == Some(&'-') && characters.get(*at + 1) != Some(&']') {
            *at += 2;
            *characters.get(*at - 1)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// Whether a path is a pattern rather than a name.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '\\'])
}
