//! Registries: which may be insecure, mirrors, proxies, and how much at a time. After moby's `registry/config.go`.

use std::net::IpAddr;

use anyhow::bail;
use berth_engine::images::{Proxies, RegistryOptions, masked};
use serde::Deserialize;
use serde_json::Value;

use super::DaemonJson;

/// The keys of `proxies`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct ProxiesJson {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
}

/// What the file says of registries. Proxies come from the environment where the file has none.
pub(super) fn registries(json: &DaemonJson) -> anyhow::Result<RegistryOptions> {
    let fallback = RegistryOptions::default();
    let number = |key, default: usize| match json.get::<i64>(key)? {
        None | Some(0) => Ok(default),
        Some(number) => match usize::try_from(number) {
            Ok(number) => Ok(number.min(MOST_AT_A_TIME)),
            Err(_) => bail!("invalid {}: {number}", key.replace('-', " ")),
        },
    };
    let insecure: Vec<String> = json.get_or("insecure-registries", Vec::new())?;
    let mirrors: Vec<String> = json.get_or("registry-mirrors", Vec::new())?;
    let mut options = RegistryOptions {
        downloads: number("max-concurrent-downloads", fallback.downloads)?,
        uploads: number("max-concurrent-uploads", fallback.uploads)?,
        attempts: u32::try_from(number("max-download-attempts", fallback.attempts as usize)?)?,
        proxies: proxies(json)?,
        user_agent: concat!("Berth/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..fallback
    };
    for entry in insecure {
        let entry = self::insecure(&entry)?;
        if !options.insecure.contains(&entry) {
            options.insecure.push(entry);
        }
    }
    for entry in mirrors {
        let entry = mirror(&entry)?;
        if !options.mirrors.contains(&entry) {
            options.mirrors.push(entry);
        }
    }
    Ok(options)
}

/// More connections to one registry help nobody.
const MOST_AT_A_TIME: usize = 100;

/// `host[:port]` or a network, without a scheme.
fn insecure(entry: &str) -> anyhow::Result<String> {
    let lower = entry.to_lowercase();
    let plain = match ["http://", "https://"].iter().find(|scheme| lower.starts_with(*scheme)) {
        Some(scheme) => {
            tracing::warn!(
                "insecure registry {entry} should not contain '{scheme}' and '{scheme}' has been removed from the \
                 insecure registry config"
            );
            &entry[scheme.len()..]
        }
        None if entry.contains("://") => bail!("insecure registry {entry} should not contain '://'"),
        None => entry,
    };
    if plain.starts_with('-') || plain.ends_with('-') {
        bail!("invalid index name ({plain}). Cannot begin or end with a hyphen");
    }
    let is_network = plain.split_once('/').is_some_and(|(address, length)| {
        address.parse::<IpAddr>().is_ok_and(|address| {
            length.parse::<u8>().is_ok_and(|length| length <= if address.is_ipv4() { 32 } else { 128 })
        })
    });
    if is_network || is_host(plain) {
        return Ok(if plain == "index.docker.io" { "docker.io".to_owned() } else { plain.to_owned() });
    }
    bail!("insecure registry {plain} is not valid: invalid host \"{plain}\"")
}

/// Whether it is a name or an address, with a port or without.
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().is_ok()),
        None => (text, true),
    };
    let is_address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    port && (is_name || is_address.is_some_and(|address| address.parse::<IpAddr>().is_ok()))
}

/// An address with a scheme, and with a slash at its end.
fn mirror(entry: &str) -> anyhow::Result<String> {
    let Some((scheme, rest)) = entry.split_once("://").filter(|(scheme, _)| !scheme.is_empty()) else {
        bail!("invalid mirror: no scheme specified for {entry:?}: must use either 'https://' or 'http://'");
    };
    if !matches!(scheme, "http" | "https") {
        bail!(
            "invalid mirror: unsupported scheme {scheme:?} in {entry:?}: must use either 'https://' or 'http://'"
        );
    }
    if rest.contains(['?', '#']) {
        bail!("invalid mirror: query or fragment at end of the URI {entry:?}");
    }
    if rest.contains('@') {
        bail!("invalid mirror: username/password not allowed in URI {:?}", masked(entry));
    }
    if !is_host(rest.split('/').next().unwrap_or_default()) {
        bail!("invalid mirror: {entry:?} is not a valid URI");
    }
    Ok(format!("{}/", entry.trim_end_matches('/')))
}

fn proxies(json: &DaemonJson) -> anyhow::Result<Proxies> {
    // A general complaint would show the value, which may hold a password.
    let texts = |value: &Value| value.as_object().is_some_and(|fields| fields.values().all(Value::is_string));
    if json.0.get("proxies").is_some_and(|value| !texts(value)) {
        bail!("proxies: expected an object with the texts http-proxy, https-proxy and no-proxy");
    }
    let ProxiesJson { http_proxy, https_proxy, no_proxy } = json.get_or("proxies", ProxiesJson::default())?;
    for (key, address) in [("http-proxy", &http_proxy), ("https-proxy", &https_proxy)] {
        if !is_proxy(address) {
            let shown = masked(address);
            bail!("proxies: {key}: {shown} isn't an address of the kind http://host:port");
        }
    }
    let environment = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).unwrap_or_default();
        if name == "NO_PROXY" { value } else { usable_proxy(name, value) }
    };
    let or = |value: String, name: &str| if value.is_empty() { environment(name) } else { value };
    Ok(Proxies {
        http: or(http_proxy, "HTTP_PROXY"),
        https: or(https_proxy, "HTTPS_PROXY"),
        none: or(no_proxy, "NO_PROXY"),
    })
}

/// The proxy that a variable of the environment names; none, with a word in the log, where we can't speak to it.
pub(crate) fn usable_proxy(name: &str, value: String) -> String {
    if is_proxy(&value) {
        return value;
    }
    tracing::warn!("{name} isn't used: {} isn't an address of the kind http://host:port", masked(&value));
    String::new()
}

/// Whether we can speak to such a proxy; none at all is fine.
fn is_proxy(address: &str) -> bool {
    let rest = address.strip_prefix("http://").unwrap_or(address);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host).trim_end_matches('/');
    address.is_empty() || (!rest.contains("://") && is_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<RegistryOptions, String> {
        let json = DaemonJson::parse(text, false).map_err(|error| format!("{error:#}"))?;
        registries(&json).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_insecure_registrys_scheme_is_taken_off_and_others_are_refused() {
        let options =
            of(r#"{"insecure-registries": ["http://reg:5000", "10.0.0.0/8", "reg:5000"]}"#).unwrap();
        assert_eq!(options.insecure, ["reg:5000", "10.0.0.0/8"]);
        let refused = of(r#"{"insecure-registries": ["ftp://reg"]}"#).unwrap_err();
        assert_eq!(refused, "insecure registry ftp://reg should not contain '://'");
        assert!(of(r#"{"insecure-registries": ["reg:port"]}"#).is_err());
        assert!(of(r#"{"insecure-registries": ["10.0.0.0/33"]}"#).is_err());
    }

    #[test]
    fn a_mirror_needs_a_scheme_and_no_password() {
        let options = of(r#"{"registry-mirrors": ["https://m.example", "https://m.example/"]}"#).unwrap();
        assert_eq!(options.mirrors, ["https://m.example/"]);
        assert!(of(r#"{"registry-mirrors": ["m.example"]}"#).unwrap_err().contains("no scheme specified"));
        let refused = of(r#"{"registry-mirrors": ["https://ann:secret@m.example"]}"#).unwrap_err();
        assert!(refused.contains("not allowed") && !refused.contains("secret"), "{refused}");
    }

    #[test]
    fn a_proxy_is_an_address_of_plain_http_and_its_password_is_not_shown() {
        let text = r#"{"proxies": {"http-proxy": "http://p:1", "https-proxy": "p:2", "no-proxy": "a,b"}}"#;
        let proxies = of(text).unwrap().proxies;
        assert_eq!((proxies.http.as_str(), proxies.none.as_str()), ("http://p:1", "a,b"));
        let refused = of(r#"{"proxies": {"https-proxy": "https://ann:secret@p:2"}}"#).unwrap_err();
        assert!(refused.contains("https-proxy") && !refused.contains("secret"), "{refused}");
        let refused = of(r#"{"proxies": "http://ann:secret@p:2"}"#).unwrap_err();
        assert!(refused.starts_with("proxies: expected") && !refused.contains("secret"), "{refused}");
        assert!(of(r#"{"proxies": {"ftp-proxy": "x"}}"#).unwrap_err().contains("ftp-proxy"));
    }

    #[test]
    fn zero_at_a_time_is_dockers_number_and_less_is_refused() {
        assert_eq!(of(r#"{"max-concurrent-downloads": 0}"#).unwrap().downloads, 3);
        assert_eq!(of(r#"{"max-concurrent-uploads": 2}"#).unwrap().uploads, 2);
        assert_eq!(
            of(r#"{"max-concurrent-downloads": -1}"#).unwrap_err(),
            "invalid max concurrent downloads: -1"
        );
    }
}
