//! What a container's log options say, in dockerd's words where they make no sense.

use std::path::PathBuf;
use std::str::FromStr;

use berth_guard::LogDriver;
use berth_guard::launch::LogFile;

use crate::container::host_config::LogConfig;
use crate::filters::parse_bool;
use crate::{Error, log_details, size};

/// Options that every driver has.
const OF_ALL: [&str; 2] = ["mode", "max-buffer-size"];
/// Bytes of a log file before it rotates, for the `local` driver, as in Docker.
const LOCAL_MAX_SIZE: u64 = 20 << 20;
/// Files that the `local` driver keeps, as in Docker.
const LOCAL_MAX_FILE: u32 = 5;
/// Bytes that wait for the log file with `mode=non-blocking`, as in Docker.
const BUFFER: u64 = 1_000_000;

/// Checks where output goes.
pub(crate) fn check(log: &LogConfig) -> Result<(), Error> {
    let known: &[&str] = match log.driver.as_str() {
        "json-file" => {
            &["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"]
        }
        "local" => &["max-size", "max-file", "compress"],
        "none" => return Ok(()),
        other => {
            return Err(Error::InvalidRequest(format!(
                "error looking up logging plugin {other}: plugin \"{other}\" not found"
            )));
        }
    };
    buffer(log)?;
    let unknown =
        log.config.keys().map(String::as_str).find(|key| !OF_ALL.contains(key) && !known.contains(key));
    if let Some(key) = unknown {
        return Err(Error::InvalidRequest(format!("unknown log opt '{key}' for {} log driver", log.driver)));
    }
    log_details::check(&log.config)?;
    driver(log, PathBuf::new()).map(drop)
}

/// With `mode=non-blocking`: the bytes of output that may wait for the log file.
pub(crate) fn buffer(log: &LogConfig) -> Result<Option<u64>, Error> {
    let refuse = |text: String| Err(Error::InvalidRequest(format!("logger: {text}")));
    let wanted = log.config.get("max-buffer-size");
    match log.config.get("mode").map_or("", String::as_str) {
        "" | "blocking" if wanted.is_some() => {
            refuse("max-buffer-size option is only supported with 'mode=non-blocking'".to_owned())
        }
        "" | "blocking" => Ok(None),
        "non-blocking" => {
            let size = wanted.map_or(Ok(BUFFER), |text| size::binary(text));
            size.map(Some).map_err(|text| {
                Error::InvalidRequest(format!("error parsing option max-buffer-size: {text}"))
            })
        }
        other => refuse(format!("logging mode not supported: {other}")),
    }
}

/// Where output is kept: at `path`, unless the driver keeps nothing.
pub(crate) fn driver(log: &LogConfig, path: PathBuf) -> Result<LogDriver, Error> {
    let file = match log.driver.as_str() {
        "none" => return Ok(LogDriver::None),
        "local" => local(log, path),
        _ => json_file(log, path),
    };
    let file =
        file.map_err(|text| Error::InvalidRequest(format!("failed to initialize logging driver: {text}")))?;
    Ok(if log.driver == "local" { LogDriver::Local(file) } else { LogDriver::JsonFile(file) })
}

fn json_file(log: &LogConfig, path: PathBuf) -> Result<LogFile, String> {
    let max_size = option(log, "max-size", size::decimal)?;
    let max_file = option(log, "max-file", number::<i64>)?.unwrap_or(1);
    let compress = option(log, "compress", is_true)?.unwrap_or(false);
    if max_size == Some(0) {
        return Err("max-size must be a positive number".to_owned());
    }
    if max_file < 1 {
        return Err("max-file cannot be less than 1".to_owned());
    }
    if compress && (max_file == 1 || max_size.is_none()) {
        return Err("compress cannot be true when max-file is less than 2 or max-size is not set".to_owned());
    }
    Ok(LogFile { path, max_size, max_file: u32::try_from(max_file).unwrap_or(u32::MAX), compress })
}

fn local(log: &LogConfig, path: PathBuf) -> Result<LogFile, String> {
    let named = |key: &str, text: String| {
        let value = log.config.get(key).map_or("", String::as_str);
        format!("invalid value for {key}: {value}: {text}")
    };
    let max_size = option(log, "max-size", size::decimal).map_err(|text| named("max-size", text))?;
    let max_file = option(log, "max-file", number::<i64>).map_err(|text| named("max-file", text))?;
    let compress = option(log, "compress", is_true)
        .map_err(|text| format!("error reading compress log option: {text}"))?;
    let (max_file, compress) = (max_file.unwrap_or(LOCAL_MAX_FILE.into()), compress.unwrap_or(true));
    if max_file < 0 {
        return Err("max-file must not be negative".to_owned());
    }
    if compress && max_file <= 1 {
        return Err("compression cannot be enabled when max file count is 1".to_owned());
    }
    let max_file = u32::try_from(max_file).unwrap_or(u32::MAX).max(1);
    Ok(LogFile { path, max_size: Some(max_size.unwrap_or(LOCAL_MAX_SIZE)), max_file, compress })
}

fn option<T>(
    log: &LogConfig,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    log.config.get(key).map(|text| parse(text)).transpose()
}

/// As Go's `strconv.Atoi`.
fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))
}

/// As Go's `strconv.ParseBool`.
pub(crate) fn is_true(text: &str) -> Result<bool, String> {
    parse_bool(text).ok_or_else(|| format!("strconv.ParseBool: parsing \"{text}\": invalid syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(driver: &str, options: &[(&str, &str)]) -> LogConfig {
        let config = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LogConfig { driver: driver.to_owned(), config }
    }

    fn refusal(driver: &str, options: &[(&str, &str)]) -> String {
        check(&log(driver, options)).unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        assert!(
            refusal("json-file", &[("colour", "red")]).contains("unknown log opt 'colour' for json-file")
        );
        assert!(
            refusal("json-file", &[("compress", "true")]).contains("compress cannot be true when max-file")
        );
        assert!(
            refusal("json-file", &[("compress", "maybe")]).contains("strconv.ParseBool: parsing \"maybe\"")
        );
        assert!(refusal("local", &[("max-file", "1")]).contains("compression cannot be enabled"));
        assert!(refusal("local", &[("max-size", "big")]).contains("invalid value for max-size: big"));
        assert!(refusal("json-file", &[("max-buffer-size", "1m")]).contains("only supported with"));
        assert!(refusal("json-file", &[("mode", "fast")]).contains("logging mode not supported: fast"));
        let options = [("mode", "non-blocking"), ("max-buffer-size", "x")];
        assert!(refusal("local", &options).contains("error parsing option max-buffer-size"));
    }

    #[test]
    fn sizes_of_files_are_decimal_and_of_buffers_binary() {
        let options = [("max-size", "10k"), ("max-file", "3"), ("compress", "1")];
        let LogDriver::JsonFile(file) = driver(&log("json-file", &options), PathBuf::new()).unwrap() else {
            panic!("another driver")
        };
        assert_eq!((file.max_size, file.max_file, file.compress), (Some(10_000), 3, true));
        let options = [("mode", "non-blocking"), ("max-buffer-size", "4k")];
        assert_eq!(buffer(&log("json-file", &options)).unwrap(), Some(4096));
        assert_eq!(buffer(&log("local", &[("mode", "non-blocking")])).unwrap(), Some(BUFFER));
    }

    #[test]
    fn the_local_driver_has_dockers_defaults() {
        let LogDriver::Local(file) = driver(&log("local", &[]), PathBuf::new()).unwrap() else {
            panic!("another driver")
        };
        assert_eq!((file.max_size, file.max_file, file.compress), (Some(20 << 20), 5, true));
    }
}
