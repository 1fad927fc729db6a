//! Boots a machine by hand: `boot run CONFIG.json` is what the host daemon's vmm process does, `boot relay ADDRESS`
//! what the emulator starts for each forwarded connection.

use std::path::Path;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", config] => {
            let config = vmm::process::read_config(Path::new(config)).context("read the configuration")?;
            Ok(vmm::process::run(config)?)
        }
        ["relay", address] => vmm::process::relay(address).context("relay"),
        _ => bail!("usage: boot run CONFIG.json | boot relay ADDRESS"),
    }
}
