//! Docker's options that stand before the command: which engine is meant, and how it is reached.

use std::ffi::OsString;

use crate::failure::Failure;

/// What help says of them.
pub(crate) const HELP: &str = "\
Global options, before the command:
  -c, --context string     Name of the context to use to connect to the engine
  -H, --host string        Socket to connect to: unix:///path or tcp://host:port
      --tls                Use TLS; implied by --tlsverify
      --tlscacert string   Trust certs signed only by this CA (default \"~/.docker/ca.pem\")
      --tlscert string     Path to TLS certificate file (default \"~/.docker/cert.pem\")
      --tlskey string      Path to TLS key file (default \"~/.docker/key.pem\")
      --tlsverify          Use TLS and verify the remote";

/// The options as they were said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Global {
    /// `unix://…` or `tcp://…`.
    pub(crate) host: Option<String>,
    /// A context's name.
    pub(crate) context: Option<String>,
    /// TLS, whoever the other side is.
    pub(crate) tls: Option<bool>,
    /// TLS with the side that the authority knows.
    pub(crate) tlsverify: Option<bool>,
    /// The authority's file.
    pub(crate) tlscacert: Option<String>,
    /// Our certificate's file.
    pub(crate) tlscert: Option<String>,
    /// Its key's file.
    pub(crate) tlskey: Option<String>,
    /// Called as `docker`: the context that `docker context use` chose counts.
    pub(crate) follows_context: bool,
}

impl Global {
    /// Takes the options off a command line; what is none ends them.
    ///
    /// # Errors
    /// When one lacks its value or is said twice.
    pub(crate) fn take(called: &str, words: &[OsString]) -> Result<(Self, Vec<OsString>), Failure> {
        let mut global = Self { follows_context: called == "docker", ..Self::default() };
        let mut rest = words.iter().skip(1).peekable();
        while let Some(word) = rest.peek() {
            let text = word.to_string_lossy().into_owned();
            let (name, mut value) = split(&text);
            let Some(place) = global.place(&name) else { break };
            rest.next();
            if matches!(place, Place::Text(_)) && value.is_none() {
                value = rest.next().map(|word| word.to_string_lossy().into_owned());
            }
            place.set(&name, value).map_err(|complaint| {
                let help = format!("Run '{called} --help' for more information");
                let usage = format!("Usage:  {called} [OPTIONS] COMMAND [ARG...]");
                Failure::new(format!("{complaint}\n\n{usage}\n\n{help}")).with_code(125)
            })?;
        }
        Ok((global, words.iter().take(1).chain(rest).cloned().collect()))
    }

    fn place(&mut self, name: &str) -> Option<Place<'_>> {
        Some(match name {
            "-H" | "--host" => Place::Text(&mut self.host),
            "-c" | "--context" => Place::Text(&mut self.context),
            "--tlscacert" => Place::Text(&mut self.tlscacert),
            "--tlscert" => Place::Text(&mut self.tlscert),
            "--tlskey" => Place::Text(&mut self.tlskey),
            "--tls" => Place::Switch(&mut self.tls),
            "--tlsverify" => Place::Switch(&mut self.tlsverify),
            _ => return None,
        })
    }
}

/// Where an option's value goes.
enum Place<'a> {
    Text(&'a mut Option<String>),
    Switch(&'a mut Option<bool>),
}

impl Place<'_> {
    fn set(self, name: &str, value: Option<String>) -> Result<(), String> {
        match self {
            Self::Text(place) => {
                let value = value.ok_or_else(|| match name.strip_prefix("--") {
                    Some(_) => format!("flag needs an argument: {name}"),
                    None => format!("flag needs an argument: '{}' in {name}", &name[1..]),
                })?;
                if matches!(name, "-H" | "--host") && place.is_some() {
                    return Err(format!(
                        "invalid argument {value:?} for \"-H, --host\" flag: specify only one -H"
                    ));
                }
                *place = Some(value);
            }
            Self::Switch(place) => {
                *place = Some(match value.as_deref() {
                    None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
                    Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
                    Some(other) => {
                        return Err(format!(
                            "invalid argument {other:?} for \"{name}\" flag: strconv.ParseBool: parsing {other:?}: \
                             invalid syntax"
                        ));
                    }
                });
            }
        }
        Ok(())
    }
}

/// `--host=x`, `-H=x` and `-Hx` as a name and a value.
fn split(word: &str) -> (String, Option<String>) {
    if word.starts_with("--") {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        return (name.to_owned(), value.map(str::to_owned));
    }
    let mut letters = word.chars();
    let name: String = letters.by_ref().take(2).collect();
    let value = letters.as_str();
    let value = value.strip_prefix('=').unwrap_or(value);
    (name, Some(value.to_owned()).filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(line: &str) -> Result<(Global, String), String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (global, rest) =
            Global::take("docker", &words).map_err(|failure| failure.message().to_owned())?;
        let rest: Vec<_> = rest.iter().map(|word| word.to_string_lossy()).collect();
        Ok((global, rest.join(" ")))
    }

    #[test]
    fn options_before_the_command_are_taken_and_those_after_it_stay() {
        let (global, rest) = take("docker -H tcp://a:1 --tlsverify --tlskey=k ps --tls").unwrap();
        assert_eq!(rest, "docker ps --tls");
        assert_eq!(global.host.as_deref(), Some("tcp://a:1"));
        assert_eq!((global.tlsverify, global.tlskey.as_deref()), (Some(true), Some("k")));
        assert_eq!(take("docker -Hunix:///s ps").unwrap().0.host.as_deref(), Some("unix:///s"));
        assert_eq!(take("docker --tls=false ps").unwrap().0.tls, Some(false));
        assert_eq!(take("docker --version").unwrap().1, "docker --version");
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        assert!(take("docker --host").unwrap_err().starts_with("flag needs an argument: --host\n"));
        assert!(take("docker -H").unwrap_err().starts_with("flag needs an argument: 'H' in -H\n"));
        assert!(take("docker -H a -H b ps").unwrap_err().contains("specify only one -H"));
        assert!(take("docker --tls=x ps").unwrap_err().contains("strconv.ParseBool"));
    }
}
