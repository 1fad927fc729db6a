//! Hostile text ends in an error, never in a panic or in endless work: random Dockerfiles, and a corpus of those that
//! once were trouble or are likely to be.

use berth_builder::dockerfile::{Dockerfile, Lexer, Purpose};
use proptest::prelude::*;

/// Pieces that Dockerfiles are made of, so that random text gets somewhere.
const PIECES: &[&str] = &[
    "FROM busybox",
    " AS a",
    "\n",
    "\\\n",
    "RUN ",
    "RUN <<EOF\n",
    "EOF\n",
    "<<-'X' <<Y",
    "COPY ",
    "--from=a ",
    "--mount=",
    "type=cache,",
    "target=/x",
    "[\"a\", \"b\"]",
    "['",
    "ENV ",
    "A=b",
    "${A:-${B}}",
    "${A/",
    "*/",
    "//}",
    "#",
    "# escape=`\n",
    "`",
    "\"",
    "'",
    "$",
    "${",
    "}",
    "ARG x=",
    "HEALTHCHECK --interval=1h2m CMD ",
    "ONBUILD ",
    "EXPOSE 1-65535",
    "LABEL ",
    "\u{feff}",
    "\r\n",
    "\t",
    "é",
    "--chown=",
    "\0",
    " ",
    "ADD http://x /",
    "SHELL ",
    "VOLUME ",
    "--parents ",
    "\\",
    "#!/bin/sh",
];

proptest! {
    #[test]
    fn any_mixture_of_pieces_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        drop(Dockerfile::parse(&pieces.concat()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,400}") {
        drop(Dockerfile::parse(&text));
    }

    #[test]
    fn any_word_is_expanded_or_refused(word in "[$\\{\\}:+\\-?#%/*a-c'\"\\\\` ]{0,60}", value in "[a-c*/?]{0,40}") {
        let variables = [("a".to_owned(), value.clone()), ("b".to_owned(), value)];
        for purpose in [Purpose::Words, Purpose::Content, Purpose::Readers] {
            drop(Lexer { escape: '\\', purpose }.expand(&word, &variables));
        }
    }

    #[test]
    fn instructions_keep_their_lines(lines in prop::collection::vec("[a-z]{1,8}( \\\\\n[a-z]{1,8}){0,3}", 1..20)) {
        let text = lines.iter().fold("FROM x\n".to_owned(), |text, line| format!("{text}RUN {line}\n"));
        let file = Dockerfile::parse(&text).expect("plain instructions are a Dockerfile");
        let mut at = 2;
        for (step, line) in file.stages[0].steps.iter().zip(&lines) {
            prop_assert_eq!(step.place.line, at);
            at = step.place.end_line + 1;
            prop_assert_eq!(step.text.split_whitespace().count(), line.replace('\\', "").split_whitespace().count() + 1);
        }
    }
}

#[test]
fn the_corpus_is_read_or_refused_quickly() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let started = std::time::Instant::now();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        drop(Dockerfile::parse(&String::from_utf8_lossy(&bytes)));
        count += 1;
    }
    assert!(count >= 5, "the corpus has {count} files");
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn expansion_cant_be_made_to_explode() {
    let value = "*a".repeat(4000);
    let variables = [("a".to_owned(), value.clone())];
    let lexer = Lexer { escape: '\\', purpose: Purpose::Words };
    drop(lexer.expand(&format!("${{a//{value}/x}}"), &variables));
    assert!(lexer.expand(&"${a:-".repeat(1000), &variables).is_err());
    let doubled = "$a".repeat(1000);
    assert!(lexer.expand(&doubled, &[("a".to_owned(), "x".repeat(10_000))]).is_err());
}
