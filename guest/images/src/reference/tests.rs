use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn canonical(text: &str) -> String {
    Reference::parse(text).unwrap().or_latest().canonical()
}

fn refusal(text: &str) -> String {
    Reference::parse(text).unwrap_err().to_string()
}

#[test]
fn familiar_names_gain_registry_library_and_tag() {
    assert_eq!(canonical("busybox"), "docker.io/library/busybox:latest");
    assert_eq!(canonical("busybox:1.36"), "docker.io/library/busybox:1.36");
    assert_eq!(canonical("ann/tool"), "docker.io/ann/tool:latest");
    assert_eq!(canonical("index.docker.io/busybox"), "docker.io/library/busybox:latest");
    assert_eq!(canonical("localhost/x"), "localhost/x:latest");
    assert_eq!(canonical("127.0.0.1:5000/a/b:c"), "127.0.0.1:5000/a/b:c");
    assert_eq!(canonical("[::1]:5000/a"), "[::1]:5000/a:latest");
    assert_eq!(canonical("Host/a"), "Host/a:latest");
}

#[test]
fn a_digest_stands_beside_the_tag_or_alone() {
    let both = Reference::parse(&format!("busybox:1@sha256:{HEX}")).unwrap();
    assert_eq!(both.tag(), Some("1"));
    assert_eq!(both.digest().unwrap().hex(), HEX);
    let alone = Reference::parse(&format!("busybox@sha256:{HEX}")).unwrap().or_latest();
    assert_eq!(alone.tag(), None);
    assert_eq!(alone.to_string(), format!("busybox@sha256:{HEX}"));
}

#[test]
fn display_is_familiar() {
    assert_eq!(Reference::parse("docker.io/library/busybox:1").unwrap().to_string(), "busybox:1");
    assert_eq!(Reference::parse("docker.io/library/a/b").unwrap().to_string(), "library/a/b");
    assert_eq!(Reference::parse("quay.io/a").unwrap().to_string(), "quay.io/a");
}

#[test]
fn refusals_are_in_dockers_words() {
    assert_eq!(
        refusal("Busybox"),
        "invalid reference format: repository name (library/Busybox) must be lowercase"
    );
    assert_eq!(refusal(""), "invalid reference format");
    assert_eq!(refusal("a:b:c"), "invalid reference format");
    assert_eq!(refusal("a//b"), "invalid reference format");
    assert_eq!(refusal("-a"), "invalid reference format");
    assert_eq!(refusal("a..b"), "invalid reference format");
    assert_eq!(refusal("a:"), "invalid reference format");
    assert!(refusal(HEX).starts_with("invalid repository name"));
    assert!(refusal(&"a".repeat(250)).contains("255 characters"));
    assert!(refusal("a@sha256:12").contains("digest"));
}

#[test]
fn separators_follow_the_grammar() {
    assert!(Reference::parse("a__b/c---d/e.f_g").is_ok());
    assert!(Reference::parse("a___b").is_err());
    assert!(Reference::parse("a._b").is_err());
}
