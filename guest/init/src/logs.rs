//! The engine's own log, on standard error: how much of it may change while the engine runs.

use tracing_subscriber::EnvFilter;

use crate::daemon_json::DaemonJson;

/// The libraries beneath have their own idea of what matters.
const QUIET: &str = "hyper=info,hyper_util=info,hickory_proto=info,hickory_resolver=info,rustls=info";

/// Changes how much is logged.
pub(crate) struct Logs(Box<dyn Fn(EnvFilter) + Send + Sync>);

impl Logs {
    /// Begins to log as the file says, else as `BERTH_LOG` does, else what matters to a user.
    pub(crate) fn begin(json: &DaemonJson) -> anyhow::Result<Self> {
        let level = level(json)?;
        let filter = match level {
            Some(level) => filter(level),
            None => EnvFilter::try_from_env("BERTH_LOG").unwrap_or_else(|_| filter("info")),
        };
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let builder = builder.with_ansi(false).with_filter_reloading();
        let handle = builder.reload_handle();
        builder.init();
        Ok(Self(Box::new(move |filter| drop(handle.reload(filter)))))
    }

    /// Takes over what a file that was read again says, if it says something.
    pub(crate) fn follow(&self, json: &DaemonJson) -> anyhow::Result<()> {
        if let Some(level) = level(json)? {
            (self.0)(filter(level));
        }
        Ok(())
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},{QUIET}"))
}

/// The level that the file names. `debug` goes before `log-level`, as in dockerd.
fn level(json: &DaemonJson) -> anyhow::Result<Option<&'static str>> {
    let named: Option<String> = json.get("log-level")?;
    let level = match named.map(|level| level.to_lowercase()).as_deref() {
        None | Some("") => None,
        Some("panic" | "fatal" | "error") => Some("error"),
        Some("warn") => Some("warn"),
        Some("info") => Some("info"),
        Some("debug") => Some("debug"),
        Some("trace") => Some("trace"),
        Some(other) => anyhow::bail!("invalid logging level: {other}"),
    };
    Ok(match json.get::<bool>("debug")? {
        Some(true) => Some("debug"),
        Some(false) if level.is_none() => Some("info"),
        _ => level,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_goes_before_the_level_and_nonsense_is_refused() {
        let of = |text: &str| level(&DaemonJson::parse(text, false).unwrap());
        assert_eq!(of(r#"{"log-level": "warn"}"#).unwrap(), Some("warn"));
        assert_eq!(of(r#"{"log-level": "warn", "debug": true}"#).unwrap(), Some("debug"));
        assert_eq!(of("{}").unwrap(), None);
        assert_eq!(of(r#"{"log-level": "loud"}"#).unwrap_err().to_string(), "invalid logging level: loud");
    }
}
