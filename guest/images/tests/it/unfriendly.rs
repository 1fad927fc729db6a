//! Registries that break off, lie, or want a token first.

use std::sync::atomic::{AtomicUsize, Ordering};

use berth_images::registry::Credentials;
use berth_images::{Digest, Error, Kind};
use serde_json::json;

use crate::fake::{Answer, Asked, Fake, answer};
use crate::fixture::{Layer, Place, config};
use crate::pull::two_layers;
use crate::transfer::{client, pull, push, push_plain, run};

/// What a registry with the image `a:1` answers to this request.
fn serve(asked: &Asked) -> Answer {
    let layers = two_layers();
    let config = config("a", &layers).to_string();
    let describe = |bytes: &[u8]| json!({ "mediaType": "x", "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": describe(config.as_bytes()), "layers": [describe(&layers[0]), describe(&layers[1])],
    })
    .to_string();
    let blobs = [config.into_bytes(), layers[0].clone(), layers[1].clone()];
    let path = asked.line.trim_start_matches("GET ");
    match path {
        "/v2/" => answer("200 OK", &[], b"{}"),
        "/v2/a/manifests/1" => answer("200 OK", &[], manifest.as_bytes()),
        _ => match blobs.iter().find(|blob| path == format!("/v2/a/blobs/{}", Digest::of(blob))) {
            Some(blob) => answer("200 OK", &[], blob),
            None => {
                answer("404 Not Found", &[], b"{\"errors\":[{\"code\":\"BLOB_UNKNOWN\",\"message\":\"no\"}]}")
            }
        },
    }
}

fn first_layer() -> (Vec<u8>, String) {
    let layer = two_layers().remove(0);
    let line = format!("GET /v2/a/blobs/{}", Digest::of(&layer));
    (layer, line)
}

#[test]
fn a_broken_stream_is_continued_by_range() {
    let (layer, line) = first_layer();
    let wanted = line.clone();
    let fake = Fake::start(move |_, asked| {
        if asked.line != wanted {
            return serve(asked);
        }
        let range = asked.header("range").trim_start_matches("bytes=").trim_end_matches('-').to_owned();
        let from: usize = range.parse().unwrap_or(0);
        let kind = if from == 0 { "200 OK" } else { "206 Partial Content" };
        let range = format!("bytes {from}-{}/{}", layer.len() - 1, layer.len());
        let mut whole = answer(kind, &[("Content-Range", &range)], &layer[from..]);
        // Only 40,000 bytes of content come, then the line is dead.
        whole.truncate(whole.len() - (layer.len() - from) + (layer.len() - from).min(40_000));
        whole
    });
    let place = Place::new();
    pull(&place, &format!("{}/a:1", fake.address), None, None).result.unwrap();
    let ranges: Vec<String> =
        fake.asked(&line).iter().map(|asked| asked.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=40000-", "bytes=80000-"]);
}

#[test]
fn a_blob_longer_than_its_manifest_says_is_cut_off() {
    let (layer, line) = first_layer();
    let fake = Fake::start(move |_, asked| match asked.line == line {
        true => answer("200 OK", &[], &[layer.as_slice(), &[0; 1 << 20]].concat()),
        false => serve(asked),
    });
    let place = Place::new();
    let error = pull(&place, &format!("{}/a:1", fake.address), None, None).result.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}

#[test]
fn a_stream_that_never_gets_further_fails_in_the_end() {
    let (layer, line) = first_layer();
    let fake = Fake::start(move |_, asked| match asked.line == line {
        true => answer("200 OK", &[], &layer)[..60].to_vec(),
        false => serve(asked),
    });
    let place = Place::new();
    pull(&place, &format!("{}/a:1", fake.address), None, None).result.unwrap_err();
}

/// A registry that wants a bearer token from a server on the same address.
fn with_tokens() -> Fake {
    Fake::start(|address, asked| {
        if asked.line.starts_with("GET /token?") {
            let known = ["", "Basic YW5uOnNlY3JldA=="];
            return match known.contains(&asked.header("authorization")) {
                true if asked.line.contains("offline_token=true") => {
                    answer("200 OK", &[], br#"{"token":"good","refresh_token":"identity"}"#)
                }
                true => answer("200 OK", &[], br#"{"token":"good"}"#),
                false => answer("401 Unauthorized", &[], br#"{"details":"incorrect username or password"}"#),
            };
        }
        if asked.line == "POST /token" {
            return match asked.body.contains("refresh_token=identity") {
                true => answer("200 OK", &[], br#"{"access_token":"good"}"#),
                false => answer("401 Unauthorized", &[], b"{}"),
            };
        }
        if asked.header("authorization") != "Bearer good" {
            let challenge = format!(r#"Bearer realm="http://{address}/token",service="fake""#);
            return answer("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"");
        }
        serve(asked)
    })
}

#[test]
fn a_token_is_fetched_with_the_scope_of_the_pull() {
    let fake = with_tokens();
    let place = Place::new();
    pull(&place, &format!("{}/a:1", fake.address), None, None).result.unwrap();
    let asked = fake.asked("GET /token");
    assert_eq!(asked.len(), 1, "one token serves the whole pull");
    assert_eq!(asked[0].line, "GET /token?service=fake&scope=repository%3Aa%3Apull");
}

#[test]
fn password_and_identity_token_both_lead_to_a_token() {
    let fake = with_tokens();
    let name = format!("{}/a:1", fake.address);
    let ann =
        Credentials { username: "ann".to_owned(), password: "secret".to_owned(), ..Credentials::default() };
    pull(&Place::new(), &name, None, Some(&ann)).result.unwrap();
    assert!(fake.asked("GET /token")[0].line.ends_with("&account=ann"));
    let identity = run(async |_| client().login(&fake.address, &ann).await).result.unwrap();
    assert_eq!(identity.as_deref(), Some("identity"));
    let token = Credentials { identity_token: identity.unwrap(), ..Credentials::default() };
    pull(&Place::new(), &name, None, Some(&token)).result.unwrap();
    assert_eq!(fake.asked("POST /token").len(), 1);
    let wrong = Credentials { password: "guess".to_owned(), ..ann };
    let error = pull(&Place::new(), &name, None, Some(&wrong)).error();
    assert_eq!(error, "unauthorized: incorrect username or password");
}

#[test]
fn a_rate_limit_is_passed_on_in_the_registrys_words() {
    let body =
        br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    let fake = Fake::start(move |_, asked| match asked.line.contains("manifests") {
        true => answer("429 Too Many Requests", &[], body),
        false => serve(asked),
    });
    let error = pull(&Place::new(), &format!("{}/a:1", fake.address), None, None).result.unwrap_err();
    assert_eq!(error.to_string(), "toomanyrequests: You have reached your pull rate limit.");
    assert_eq!(error.kind(), Kind::TooManyRequests);
}

#[test]
fn a_name_is_resolved_and_a_redirect_loses_our_password() {
    let storage = Fake::start(|_, asked| serve(asked));
    let elsewhere = storage.address.clone();
    let fake = Fake::start(move |_, asked| {
        if asked.header("authorization").is_empty() {
            return answer("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=x")], b"");
        }
        if asked.line.contains("/blobs/") {
            let place = format!("http://{elsewhere}{}", asked.line.trim_start_matches("GET "));
            return answer("307 Temporary Redirect", &[("Location", &place)], b"");
        }
        serve(asked)
    });
    let ann = Credentials { username: "ann".to_owned(), password: "x".to_owned(), ..Credentials::default() };
    let name = format!("localhost:{}/a:1", fake.address.rsplit(':').next().unwrap());
    pull(&Place::new(), &name, None, Some(&ann)).result.unwrap();
    let seen = storage.asked("GET");
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn an_upload_goes_in_chunks_where_the_registry_wants_them() {
    let fake = Fake::start(|_, asked| match asked.line.split(' ').next() {
        Some("HEAD") => answer("404 Not Found", &[], b""),
        Some("POST") => {
            let headers = [("Location", "/upload/0"), ("OCI-Chunk-Min-Length", "4096")];
            answer("202 Accepted", &headers, b"")
        }
        Some("PATCH") => answer("202 Accepted", &[("Location", "/upload/1")], b""),
        Some("PUT") => answer("201 Created", &[], b""),
        _ => answer("200 OK", &[], b"{}"),
    });
    let (place, name) = (Place::new(), format!("{}/a:1", fake.address));
    let layer = Layer::new().file("big", &"x".repeat(20 << 20)).done();
    place.image(&name, std::slice::from_ref(&layer));
    push_plain(&place, &name).result.unwrap();
    let (first, last) = (fake.asked("PATCH /upload/0"), fake.asked("PUT /upload/1?digest="));
    assert_eq!((first.len(), last.len()), (1, 1));
    assert_eq!(first[0].header("content-range"), "0-16777215");
    assert_eq!(last[0].header("content-range"), format!("16777216-{}", layer.len() - 1));
    assert!([first[0].body.as_bytes(), last[0].body.as_bytes()].concat() == layer);
    // What is less than a chunk goes at once.
    assert_eq!(fake.asked("PUT /upload/0?digest=")[0].header("content-range"), "");
}

#[test]
fn a_layer_is_sent_while_it_is_compressed_or_whole_where_that_is_refused() {
    for (taken, whole) in [("202 Accepted", 0), ("416 Range Not Satisfiable", 1)] {
        let fake = Fake::start(move |_, asked| match asked.line.split(' ').next() {
            Some("HEAD") => answer("404 Not Found", &[], b""),
            Some("POST") => answer("202 Accepted", &[("Location", "/upload/0")], b""),
            Some("PATCH") => answer(taken, &[("Location", "/upload/1")], b""),
            Some("PUT") => answer("201 Created", &[], b""),
            _ => answer("200 OK", &[], b"{}"),
        });
        let (place, name) = (Place::new(), format!("{}/a:1", fake.address));
        place.image(&name, &[Layer::new().file("big", &"x".repeat(20 << 20)).done()]);
        push(&place, &name, None).result.unwrap();
        let (streamed, ended) = (fake.asked("PATCH /upload/0"), fake.asked("PUT /upload/1?digest="));
        assert_eq!((streamed.len(), ended.len()), (1, 1 - whole));
        assert_eq!(streamed[0].header("transfer-encoding"), "chunked");
        assert!(!streamed[0].body.is_empty() && ended.iter().all(|ended| ended.body.is_empty()));
        // The other one is the configuration.
        assert_eq!(fake.asked("PUT /upload/0?digest=").len(), 1 + whole);
    }
}

#[test]
fn an_upload_that_breaks_off_is_begun_again_and_one_that_is_refused_is_not() {
    for broken in [Vec::new(), answer("503 Service Unavailable", &[], b"")] {
        let begun = AtomicUsize::new(0);
        let fake = uploading(move || match begun.fetch_add(1, Ordering::Relaxed) {
            0 => broken.clone(),
            _ => answer("201 Created", &[], b""),
        });
        let (place, name) = (Place::new(), format!("{}/a:1", fake.address));
        place.image(&name, &[Layer::new().file("a", "content").done()]);
        let pushed = push_plain(&place, &name);
        assert!(pushed.statuses().contains(&"Retrying in 1 second"));
        pushed.result.unwrap();
        assert_eq!(fake.asked("PUT /upload").len(), 3, "the layer twice, its configuration once");
    }
    let refuses = uploading(|| answer("403 Forbidden", &[], b""));
    let (place, name) = (Place::new(), format!("{}/a:1", refuses.address));
    place.image(&name, &[Layer::new().file("a", "content").done()]);
    push_plain(&place, &name).result.unwrap_err();
    assert_eq!(refuses.asked("PUT /upload").len(), 1);
}

/// A registry that has nothing; how uploads end is the test's to say.
fn uploading(end: impl Fn() -> Answer + Send + Sync + 'static) -> Fake {
    Fake::start(move |_, asked| match asked.line.split(['?', ' ']).collect::<Vec<_>>().as_slice() {
        ["HEAD", ..] => answer("404 Not Found", &[], b""),
        ["POST", ..] => answer("202 Accepted", &[("Location", "/upload")], b""),
        ["PUT", "/upload", ..] => end(),
        _ => answer("201 Created", &[], b"{}"),
    })
}
