//! The corpora, replayed: inputs that once broke a decoder, and sound ones.

use std::path::Path;

#[test]
fn no_known_input_breaks_a_decoder() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in fuzz::TARGETS {
        let files = std::fs::read_dir(corpus.join(name)).unwrap_or_else(|_| panic!("no corpus of {name}"));
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "an empty corpus of {name}");
        for file in files {
            eprintln!("{}", file.display());
            target(&std::fs::read(file).unwrap());
        }
    }
}
