//! Names that nobody gave: `quiet_lovelace`, as Docker makes them, from our own lists.

/// A name for a container that got none; `random` decides which.
pub(crate) fn generated(random: u64) -> String {
    let manner = MANNERS[(random % MANNERS.len() as u64) as usize];
    let person = PEOPLE[((random >> 32) % PEOPLE.len() as u64) as usize];
    format!("{manner}_{person}")
}

/// Whether Docker allows `name`: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn is_allowed(name: &str) -> bool {
    let mut chars = name.chars();
    let begins = chars.next().is_some_and(|first| first.is_ascii_alphanumeric());
    begins && name.len() > 1 && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

const MANNERS: &[&str] = &[
    "able", "airy", "amber", "artful", "awake", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "careful", "cheerful", "clear", "clever", "cosy", "curious", "daring", "deft", "eager",
    "early", "earnest", "easy", "fair", "fleet", "fond", "free", "fresh", "gentle", "glad", "golden",
    "graceful", "grand", "happy", "hardy", "hearty", "honest", "jolly", "keen", "kind", "lively", "loyal",
    "lucid", "merry", "mild", "modest", "neat", "nimble", "noble", "open", "patient", "plucky", "polite",
    "proud", "quick", "quiet", "ready", "serene", "sharp", "silent", "sincere", "steady", "still", "sturdy",
    "sunny", "swift", "tidy", "tranquil", "true", "upbeat", "vivid", "warm", "wise", "witty", "zesty",
];

const PEOPLE: &[&str] = &[
    "agnesi",
    "allen",
    "babbage",
    "banach",
    "bartik",
    "bell",
    "bohr",
    "boole",
    "borg",
    "cantor",
    "carson",
    "cerf",
    "chandrasekhar",
    "chatelet",
    "church",
    "clarke",
    "curie",
    "darwin",
    "diffie",
    "dijkstra",
    "dirac",
    "einstein",
    "engelbart",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "floyd",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "goldberg",
    "goodall",
    "hamilton",
    "hawking",
    "hellman",
    "herschel",
    "hilbert",
    "hodgkin",
    "holberton",
    "hopper",
    "hypatia",
    "johnson",
    "kahn",
    "kepler",
    "khorana",
    "kilby",
    "knuth",
    "kovalevskaya",
    "lamarr",
    "lamport",
    "leakey",
    "leavitt",
    "liskov",
    "lovelace",
    "maxwell",
    "mccarthy",
    "mccarty",
    "mclean",
    "meitner",
    "mendel",
    "mirzakhani",
    "newton",
    "nightingale",
    "nobel",
    "noether",
    "pascal",
    "pasteur",
    "perlman",
    "pike",
    "poincare",
    "ramanujan",
    "ride",
    "ritchie",
    "rubin",
    "shannon",
    "sinoussi",
    "stallman",
    "swartz",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "villani",
    "wiles",
    "wing",
    "wozniak",
    "wu",
    "yalow",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_allowed() {
        assert!(is_allowed(&generated(0)) && is_allowed(&generated(u64::MAX)));
    }

    #[test]
    fn a_name_may_not_begin_with_a_dash_or_be_one_letter() {
        assert!(!is_allowed("-a") && !is_allowed("a") && !is_allowed("a/b") && is_allowed("a.b-c_1"));
    }
}
