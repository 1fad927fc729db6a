//! The credentials that `docker login` wrote into `config.json`, for the engine to pull with.

use serde_json::{Value, json};

/// Docker Hub's name in the file.
const HUB: &str = "https://index.docker.io/v1/";

/// The header's value for a registry; none without credentials.
pub(crate) fn of(domain: &str) -> Option<String> {
    let named = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()).map(std::path::PathBuf::from);
    let folder = named.or_else(|| Some(std::path::Path::new(&std::env::var_os("HOME")?).join(".docker")))?;
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).ok()?).ok()?;
    let key = if domain == "docker.io" { HUB } else { domain };
    header(config.get("auths")?.get(key)?, key)
}

/// What the engine expects: the same, with the name and password apart.
fn header(entry: &Value, server: &str) -> Option<String> {
    let decoded =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, entry.get("auth")?.as_str()?);
    let text = String::from_utf8(decoded.ok()?).ok()?;
    let (username, password) = text.trim_end_matches('\0').split_once(':')?;
    let auth = json!({ "username": username, "password": password, "serveraddress": server });
    Some(base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, auth.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_are_taken_apart() {
        let header = header(&json!({ "auth": "dXNlcjpwYXNzOndvcmQ=" }), "r:5000").unwrap();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE, header).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value, json!({ "username": "user", "password": "pass:word", "serveraddress": "r:5000" }));
    }
}
