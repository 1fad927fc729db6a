//! Boots a machine by hand: `boot CONFIG.json` is what the host daemon's vmm process does.

use std::path::Path;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [config] => {
            let config = vmm::process::read_config(Path::new(config)).context("read the configuration")?;
            Ok(vmm::process::run(config)?)
        }
        _ => bail!("usage: boot CONFIG.json"),
    }
}
